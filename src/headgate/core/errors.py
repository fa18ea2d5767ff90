"""Every error that Headgate raises on purpose.

    HeadgateError
    ├── ConfigError            the configuration cannot be used (exit 2)
    ├── StoreError             the store cannot be used (exit 3)
    │   ├── StoreLocked        another process holds it
    │   ├── StoreFull          no space left; nothing of the unit was kept
    │   ├── TookTooLong        a question took longer than whoever asked would wait
    │   ├── StoreBusy          somebody else holds the file; nothing of the unit was kept, try again
    │   └── StoreFailed        a flush failed or the file is damaged: stop, start again, trust what is read back
    ├── Unparsable             one delivery or answer says nothing that can be used; `reason` names why
    ├── SourceError
    │   ├── SourceUnavailable  try again after `retry_after` seconds
    │   ├── SourceRefused      token or rights; `reason` from a closed set; a human must act
    │   └── NotFound           the thing is not there (any more)
    └── SinkError              (also raised by notifiers)
        ├── SinkUnavailable    try the same bytes again after `retry_after` seconds
        │   └── PartlyTaken    notifiers alone: some of the people were told, others not yet, or never
        ├── BatchRejected      split; alone it is rejected
        └── SinkRefused        bad key or configuration: hold everything, tell a human, never dead-letter

Texts say what failed, on what, and what to do. They never hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

__all__ = [
    "BatchRejected",
    "ConfigError",
    "HeadgateError",
    "NotFound",
    "PartlyTaken",
    "SinkError",
    "SinkRefused",
    "SinkUnavailable",
    "SourceError",
    "SourceRefused",
    "SourceUnavailable",
    "StoreBusy",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "TookTooLong",
    "Unparsable",
    "first_of",
    "told",
]


E = TypeVar("E", bound=BaseException)


class HeadgateError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(HeadgateError):
    """The configuration cannot be used. `problems` is never empty; each says file, line, key and fix."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(HeadgateError):
    """The store cannot be used."""


class StoreLocked(StoreError):
    """Another process holds the store; stop it or point this one elsewhere."""


class StoreFull(StoreError):
    """No space left on the device or in the quota; nothing of the refused unit was kept."""


class TookTooLong(StoreError):
    """A question took longer than whoever asked would wait; nothing is wrong with the store."""


class StoreBusy(StoreError):
    """The store cannot be written for the moment; nothing of the refused unit was kept, and trying again is right."""


class StoreFailed(StoreError):
    """A flush failed or the file is damaged. The process must stop; the next start reads back what is true."""


class Unparsable(HeadgateError):
    """One payload cannot be used. `reason` is a short fixed word for counting, `detail` says where."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class SourceError(HeadgateError):
    """A source's far side did not give what was asked."""


class SourceUnavailable(SourceError):
    """The far side is slow, limited or broken; ask again after `retry_after` seconds (None: by back-off)."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceRefused(SourceError):
    """Token or rights are wrong, or a change is not taken as it is (`rejected`).

    `reason`: token_expired, wrong_token_type, no_access, project_not_found, rejected.
    """

    def __init__(self, message: str, *, reason: str, fix: str) -> None:
        super().__init__(f"{message}; {fix}")
        self.what = message
        self.reason = reason
        self.fix = fix


class NotFound(SourceError):
    """The thing asked for is not there: past retention, or never was."""


def first_of(errors: BaseExceptionGroup[BaseException], kind: type[E]) -> E | None:
    """The first error of a kind that tasks of a group raised; None where none is.

    For `except BaseExceptionGroup`: what `except*` raises comes in a group in Python before 3.11.4, Debian 12's 3.11.2.
    """
    found: E | BaseExceptionGroup[E] | None = errors.subgroup(kind)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def told(error: SourceError | Unparsable) -> dict[str, str]:
    """An error for a log line, each thing once: `error` is what happened, `reason` its kind, `fix` what to do."""
    if isinstance(error, SourceRefused):
        return {"error": error.what, "reason": error.reason, "fix": error.fix}
    if isinstance(error, Unparsable):
        return {
            "error": str(error),
            "reason": error.reason,
            "fix": "nothing: it is asked for again; report it if it stays",
        }
    return {"error": str(error), "reason": type(error).__name__, "fix": "nothing: it is asked for again by itself"}


class SinkError(HeadgateError):
    """A sink or notifier could not take a batch."""


class SinkUnavailable(SinkError):
    """Nobody knows whether the batch was taken, or it was not taken now. Send the same bytes again.

    `retry_after`: seconds the far side asked for, None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PartlyTaken(SinkUnavailable):
    """Some of those who should be told were, others could not be; the text names them.

    `again`: send the same message again later, which tells the others alone, and let other messages pass it; False:
    it is over, and `memory` is what `interpret` would have returned.
    """

    def __init__(self, message: str, *, again: bool, memory: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.memory = memory


class BatchRejected(SinkError):
    """The far side will not take this batch as it is: halve it; a single record is rejected with `reason`.

    `words`: the far side's, without secrets, kept with the dead letter; the message where a sink tells none.
    """

    def __init__(
        self, message: str, *, status: int | None = None, reason: str = "rejected", words: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.words = message if words is None else words


class SinkRefused(SinkError):
    """The far side refuses us: key, rights, path or product. Nothing is lost; a human must act.

    `reason`: auth or config. `fix` says what to do.
    """

    def __init__(self, message: str, *, reason: str, fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.reason = reason
        self.fix = fix
