"""Field types and base models that the configurations of all plugins share.

Invariant: a validated configuration is frozen, holds no unknown key, and never prints a secret, not even in the text
of a validation error. Durations are written as `60s`, `5m`, `24h`, `30d` and held as integers of milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
)

__all__ = [
    "Duration",
    "PluginConfig",
    "PollConfig",
    "Secret",
    "SourceConfig",
    "address_secrets",
    "duration_field",
    "format_duration",
    "parse_duration",
    "reveal",
]

_UNITS: dict[str, int] = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# A word of an address as long as this is a token; shorter ones (`services`, `api`) are ordinary words of any text.
_TOKEN_LENGTH = 16
# A value of the query under such a name is a key, however short; below this it would be found in ordinary words.
_KEY_NAME = re.compile(r"(?i)(?:key|token|secret|password|passwd|signature|code)$|^(?:sig|pass|pwd)$")
_SHORTEST_KEY = 6
# `/`, `/api`, `/hook`: nothing to hide, and hiding it would eat into `text/html`.
_SHORT_PATH = 5
_PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$"
_DURATION = re.compile(_PATTERN)


def parse_duration(value: object) -> int:
    """Milliseconds of `60s`, `1.5h`, `30d`. An integer is taken as milliseconds already. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a duration: write a number and a unit, such as 30s, 5m, 24h or 30d")
    return round(float(match[1]) * _UNITS[match[2]])


def format_duration(ms: int) -> str:
    """The shortest exact spelling: 60000 -> `1m`."""
    for unit in ("w", "d", "h", "m", "s"):
        if ms and ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms" if ms else "0s"


def _not_blank(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("is blank; set it, or leave the key out")
    return secret


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["30s", "5m", "24h", "30d"]}),
]
Secret = Annotated[SecretStr, AfterValidator(_not_blank)]


def duration_field(default: str, description: str) -> Any:
    """A field of type Duration whose default is shown as people write it."""
    return Field(default=default, validate_default=True, description=description)


def reveal(secret: SecretStr | None) -> str:
    """The text of a secret without blanks around it; empty where there is none. Never log the answer."""
    return secret.get_secret_value().strip() if secret is not None else ""


def address_secrets(url: str) -> tuple[str, ...]:
    """What of a secret address must not be repeated: all of it, path, query, password, tokens and keys in them."""
    parts = urlsplit(url)
    path = parts.path if len(parts.path) <= _TOKEN_LENGTH else parts.path.strip("/")
    path = path if len(path) > _SHORT_PATH else ""
    asked = parse_qsl(parts.query)
    words = (*parts.path.split("/"), *(value for _, value in asked))
    tokens = (word for word in words if len(word) >= _TOKEN_LENGTH)
    keys = (value for name, value in asked if len(value) >= _SHORTEST_KEY and _KEY_NAME.search(name))
    return tuple(dict.fromkeys(found for found in (url, path, parts.query, parts.password, *tokens, *keys) if found))


class PluginConfig(BaseModel):
    """Base of every plugin's configuration: frozen, unknown keys refused, input hidden from errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # What somebody may write who knows another sink or program -> our key, named where the model has that.
    other_words: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("fields", "labels", "static_labels"), "tags"),
        "metrics_max_age": "max_age",
    }


class PollConfig(PluginConfig):
    """How a source is polled."""

    enabled: bool = Field(default=True, description="Ask the API at all; off: webhooks alone.")
    every: Duration = duration_field(
        "60s",
        "How often a project is asked for what is new; every 10 minutes where it is quiet, hourly where webhooks tell.",
    )
    initial: Duration = duration_field("24h", "How far back the first walk of a project reaches.")
    unrun: bool = Field(
        default=True,
        description="Where webhooks tell all else, ask about runs that may hold approvals or jobs that never ran.",
    )
    max_pages: int = Field(
        default=500, ge=1, description="Pages of one walk at most; a walk cut by it is warned about and repeated."
    )


class SourceConfig(PluginConfig):
    """What the collect engine needs to know of any source; sources add their own keys."""

    poll: PollConfig = Field(default_factory=PollConfig, description="Polling.")
    enrich: Literal["none", "batch", "each"] = Field(
        default="batch",
        description="Detail records wait for: none; batch: one call per active project and minute; each: one per job.",
    )
    enrich_wait: Duration = duration_field("60s", "How long a record waits for its detail at most.")
    app_url: str = Field(default="https://app.circleci.com", description="Web application that links lead to.")

    def idle(self) -> str:
        """What to set where the source polls nothing, or collects nothing at all; empty elsewhere."""
        return ""

    @property
    def polls(self) -> bool:
        """Whether there may be anything to poll."""
        return self.poll.enabled

    @property
    def takes_webhooks(self) -> bool:
        """Whether any webhook can be taken."""
        return True

    @property
    def profile(self) -> Literal["none", "batch", "each"]:
        """The enrichment that is really possible; a source that cannot call anybody answers `none`."""
        return self.enrich
