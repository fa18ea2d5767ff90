"""Strict fake vendors on loopback: they enforce the vendors' limits and misbehave on order.

`FakeVendor("loki")` runs one inside a test; `python -m headgate.testing.sinks loki --port 0` as a process.
Imports nothing of the product's sinks, so that a fake cannot repeat the mistake it should find.
"""

from headgate.testing.sinks.bodies import signature
from headgate.testing.sinks.cases import Case, all_cases, find_case
from headgate.testing.sinks.harness import FakeVendor, fakes, front_door
from headgate.testing.sinks.ledger import Keep
from headgate.testing.sinks.vendor import BadBody, Fake

__all__ = [
    "BadBody",
    "Case",
    "Fake",
    "FakeVendor",
    "Keep",
    "all_cases",
    "fakes",
    "find_case",
    "front_door",
    "signature",
]
