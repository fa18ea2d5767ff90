"""The base of every plugin's configuration model. Invariant: immutable once read, unknown keys are refused."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = ["Duration", "PluginConfig"]

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d|w)")


def _read_duration(value: object) -> object:
    """Turn `90s`, `5m`, `24h`, `7d` or `1h30m` into a timedelta; everything else is left to pydantic."""
    if not isinstance(value, str):
        return value
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError("write a duration as 500ms, 30s, 5m, 24h or 7d")
    return timedelta(**{_UNITS[unit]: int(number) for number, unit in reversed(parts)})


Duration = Annotated[timedelta, BeforeValidator(_read_duration)]


class PluginConfig(BaseModel):
    """Base of a plugin's configuration. Its fields are described; secrets are SecretStr."""

    model_config = ConfigDict(frozen=True, extra="forbid")
