"""What the engine remembers about its sources while it runs: refusals, cursors, and what was walked since start.

Invariant: everything here can be lost; what must survive is in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from headgate.collect.pacing import TRUST_SECONDS
from headgate.collect.settings import SourceSettings
from headgate.core.clock import Clock
from headgate.core.errors import SourceError, SourceRefused, SourceUnavailable, StoreError, StoreFailed, told
from headgate.core.merge import Observation
from headgate.core.metrics import Metrics
from headgate.core.ports import Scope, Source
from headgate.core.storeport import SourceCursor, SpaceLevel

__all__ = ["PROBE_SECONDS", "Polled", "ScopeState", "first_error", "forgiving", "going_on", "held"]

# A source or scope that refuses us is asked this often whether it still does.
PROBE_SECONDS = 60.0
# Reasons that concern the token, and so every scope of the source.
_WHOLE_SOURCE = frozenset({"token_expired", "wrong_token_type"})
_log = structlog.get_logger("headgate.collect")


@dataclass(slots=True)
class ScopeState:
    """One scope. `walked`: completely, since start; `audited`: held against all lists, since start.

    `busy`: a walk is under way. Monotonic seconds: `audit_at` of the next audit, `not_before` of the next walk,
    `walked_at` of the last complete one, `active_at` when something new was last seen, `proven_at` of the last audit,
    if it missed no webhook. `ends_told`: workflows end by webhook, as far as this process has seen.
    """

    scope: Scope
    walked: bool = False
    audited: bool = False
    audit_at: float = 0.0
    busy: bool = False
    trouble: str = ""
    not_before: float = 0.0
    walked_at: float = 0.0
    active_at: float = 0.0
    proven_at: float | None = None
    ends_told: bool = False

    def told(self, now: float) -> bool:
        """Whether webhooks tell what happens here, as an audit has proven lately: then less is asked."""
        proven = self.proven_at is not None and now - self.proven_at < TRUST_SECONDS
        return self.walked and self.ends_told and proven


@dataclass(slots=True)
class Polled:
    """One source with everything remembered about it.

    `heard`: pipeline, or workflow of none -> monotonic seconds of its last webhook; old ones are forgotten.
    """

    source: Source
    settings: SourceSettings
    clock: Clock
    metrics: Metrics
    scopes: dict[str, ScopeState] = field(default_factory=dict)
    cursors: dict[str, SourceCursor] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)
    discovering: bool = False
    discovered: bool = False
    revisited: bool = False
    refused: str = ""
    _probe_at: float = 0.0
    _said: set[tuple[str, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def asked(self) -> bool:
        """Whether all that there is to walk is known: the source said so since the start, or nothing is polled."""
        return self.discovered or not self.settings.poll_enabled

    def may_call(self) -> bool:
        """Whether to ask the far side now. A refusing source lets one caller through per PROBE_SECONDS."""
        if not self.refused:
            return True
        now = self.clock.monotonic()
        if now < self._probe_at:
            return False
        self._probe_at = now + PROBE_SECONDS
        return True

    def answered(self, scope: str | None = None) -> None:
        """A call worked: the source takes us again, and so does the scope."""
        if self.refused:
            _log.info("source_accepts_again", source=self.name, was=self.refused)
            self.metrics.set("headgate_source_refused", 0, source=self.name, reason=self.refused)
            self.refused = ""
        self._said.clear()
        state = self.scopes.get(scope or "")
        if state is not None and state.trouble:
            _log.info("scope_recovered", source=self.name, project=state.scope.slug, was=state.trouble)
            state.trouble = ""

    def failed(self, error: SourceError, what: str, scope: str | None = None, *, project: str | None = None) -> None:
        """A call did not work. Said once per kind of trouble; holds the walks of the scope, or all of the source.

        `project`: whom it concerns where no walk is to be held.
        """
        state = self.scopes.get(scope or "")
        if isinstance(error, SourceRefused) and error.reason in _WHOLE_SOURCE:
            self._refuse(error)
            return
        reason = error.reason if isinstance(error, SourceRefused) else type(error).__name__
        said = (f"{what} {project or ''}", reason)
        if (state.trouble != reason) if state else (said not in self._said):
            self._said.add(said)
            slug = state.scope.slug if state else project
            _log.warning(what, source=self.name, **({"project": slug} if slug else {}), **told(error))
        if state is not None:
            state.trouble = reason
            state.not_before = self.clock.monotonic() + _hold_seconds(error)

    def told_by_webhooks(self, observations: Iterable[Observation]) -> None:
        """Deliveries came: their projects are active, and what they tell of need not be asked for soon."""
        now = self.clock.monotonic()
        for one in observations:
            state = self.scopes.get(one.project.project_id or one.project.slug)
            if state is not None:
                state.active_at = now
                state.ends_told = state.ends_told or (one.kind == "workflow" and one.terminal)
            if one.kind == "workflow":
                self.heard[str(one.fields.get("pipeline_id", one.key))] = now

    def is_told(self, key: str) -> bool:
        """Whether webhooks tell what happens in a scope."""
        state = self.scopes.get(key)
        return state is not None and state.told(self.clock.monotonic())

    def complete_ms(self) -> dict[str, int | None]:
        """Up to when each scope is known, by slug: start of its last complete walk; now, where webhooks tell of it."""
        found = {}
        for key, state in self.scopes.items():
            cursor = self.cursors.get(key)
            walked_ms = cursor.complete_ms if cursor else None
            found[state.scope.slug] = self.source.now_ms() if self.is_told(key) else walked_ms
        return found

    def _refuse(self, error: SourceRefused) -> None:
        if self.refused != error.reason:
            _log.error("source_refused", source=self.name, **told(error))
            if self.refused:
                self.metrics.set("headgate_source_refused", 0, source=self.name, reason=self.refused)
        self.refused = error.reason
        self._probe_at = self.clock.monotonic() + PROBE_SECONDS
        self.metrics.set("headgate_source_refused", 1, source=self.name, reason=error.reason)


def held(polled: Polled, level: SpaceLevel) -> str:
    """Why long work that somebody asked for stands still, in words for them; empty where it does not.

    `level`: how full the store is.
    """
    if polled.refused:
        return f"{polled.name} takes no call of ours now ({polled.refused})"
    if level in ("pause", "refuse"):
        return f"the store is too full (level {level})"
    return ""


@contextmanager
def going_on(source: str, what: str) -> Iterator[None]:
    """Keep trouble in the work for one source from everything else: it is logged here. StoreFailed goes through."""
    try:
        yield
    except StoreFailed:
        raise
    except StoreError as error:
        _log.warning("waiting_for_store", at=what, source=source, error=str(error))
    except Exception:  # noqa: BLE001  # a plugin's bug must not end the daemon; it is logged with its trace
        _log.exception("unforeseen_error", at=what, source=source, fix="report this as a bug")


@contextmanager
def forgiving(polled: Polled, what: str, scope: str | None = None, *, project: str | None = None) -> Iterator[None]:
    """As `going_on`; what the far side refuses or cannot do is remembered too."""
    with going_on(polled.name, what):
        try:
            yield
        except SourceError as error:
            polled.failed(error, what, scope, project=project)


def first_error(error: BaseException) -> BaseException:
    """The first error of a group of tasks, which the others only followed."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _hold_seconds(error: SourceError) -> float:
    if isinstance(error, SourceRefused):
        return PROBE_SECONDS
    return (error.retry_after or 0.0) if isinstance(error, SourceUnavailable) else 0.0
