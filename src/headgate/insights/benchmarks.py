"""Published figures to hold the DORA metrics against. Data, and where it comes from.

Source: DORA, "Accelerate State of DevOps Report 2024" (dora.dev/research/2024/dora-report), performance levels, as
quoted by OctopusDeploy/blog, "The 2024 DevOps performance clusters" (2024-10-23), read November 2026. The levels come
from a survey: people chose from a few answers, nobody measured. Reports since 2025 have no levels any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BENCHMARKS", "SOURCE", "YEAR", "Benchmark"]

YEAR = 2024
SOURCE = "DORA, Accelerate State of DevOps Report 2024"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What one level of the report says, in its words."""

    level: str
    says: str


def _levels(elite: str, high: str, medium: str, low: str) -> tuple[Benchmark, ...]:
    return (Benchmark("elite", elite), Benchmark("high", high), Benchmark("medium", medium), Benchmark("low", low))


BENCHMARKS: Mapping[str, tuple[Benchmark, ...]] = {
    "dora_deployment_frequency": _levels("on demand", "daily to weekly", "weekly to monthly", "monthly to biannually"),
    "dora_lead_time": _levels("less than a day", "1 day to 1 week", "1 week to 1 month", "1 to 6 months"),
    "dora_change_failure_rate": _levels("5 %", "20 %", "10 %", "40 %"),
    "dora_recovery_time": _levels("less than an hour", "less than a day", "less than a day", "1 week to 1 month"),
}
