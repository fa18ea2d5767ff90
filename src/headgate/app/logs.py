"""Headgate's own log: structlog to stderr, JSON or console, with secrets removed.

Invariant: no configured secret reaches the log, whoever logs it; library loggers go through the same chain.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

import orjson
import structlog
from pydantic import BaseModel, SecretStr

from headgate.plugins.config import address_secrets

__all__ = ["Redactor", "secrets_of", "set_level", "set_up_logging"]

_HIDDEN = "[redacted]"
# Shorter secrets would blank out ordinary words.
_SHORTEST = 6


def secrets_of(value: Any) -> Iterator[str]:
    """Every secret inside validated configurations, lists and maps; of a secret address its parts too."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value().strip()
        yield from address_secrets(secret) if secret.startswith(("http://", "https://")) else (secret,)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_of(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_of(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from secrets_of(item)


class Redactor:
    """Replaces known secrets in text and in the values of a log event."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on, beside those already known. Longest first, so that none hides half of another."""
        known = {*self._secrets, *(secret for secret in secrets if len(secret) >= _SHORTEST)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, _HIDDEN)
        return text

    def value(self, value: Any) -> Any:
        """Plain data without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, (int, float, bool, type(None))):
            return value
        return self.text(str(value))

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """As a structlog processor."""
        return {key: self.value(item) for key, item in event.items()}


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def set_up_logging(*, level: str, form: str, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers through one chain to `stream` (stderr).

    `form`: json, console, or auto (console on a terminal).
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not console:
        shared.append(structlog.processors.format_exc_info)
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if console
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.EventRenamer("event"),
            _RedactBeforeRendering(redactor, console=console),
            last,
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


class _RedactBeforeRendering:
    """Redacts event values; on a console the traceback is still an exception and is redacted as text."""

    def __init__(self, redactor: Redactor, *, console: bool) -> None:
        self._redactor = redactor
        self._console = console

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if self._console and event.get("exc_info"):
            event = structlog.processors.format_exc_info(logger, method, event)
        return self._redactor(logger, method, event)


def set_level(level: str) -> None:
    """Least level of our own loggers; libraries are one step quieter."""
    chosen = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(chosen)
    for noisy in ("httpx", "httpcore", "hpack", "elastic_transport"):
        logging.getLogger(noisy).setLevel(max(chosen, logging.WARNING))
    # uvicorn warns of every malformed request and the scheduler of every skipped tick: both are counted by us.
    for counted in ("uvicorn", "apscheduler"):
        logging.getLogger(counted).setLevel(max(chosen, logging.ERROR))
