"""Judges all due rules of a pass beside the event loop, so that webhooks are answered meanwhile.

A worker thread has a loop of its own; what it asks the store is asked on the loop that owns the store. Invariant:
nothing is written here, and one rule that cannot be computed does not keep the others from being judged.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from headgate.alerting.evaluate import RuleResult, evaluate_rule
from headgate.alerting.rules import Rule
from headgate.alerting.view import Pass
from headgate.core.alertdata import Alert
from headgate.core.storeport import ReadStore
from headgate.insights.metric import Labels

__all__ = ["Failed", "judge_all", "judge_beside"]

ByRule = Mapping[str, Mapping[Labels, Alert]]


@dataclass(frozen=True, slots=True)
class Failed:
    """A rule that raised."""

    rule: Rule
    error: Exception


class _Abandoned(Exception):
    """The pass was cancelled; its thread ends at its next question."""


async def judge_all(rules: Sequence[Rule], shared: Pass, alerts: ByRule) -> list[RuleResult | Failed]:
    """One result for each rule, in their order."""
    results: list[RuleResult | Failed] = []
    for rule in rules:
        try:
            results.append(await evaluate_rule(rule, shared, alerts.get(rule.name, {})))
        except _Abandoned:
            raise
        except Exception as error:  # noqa: BLE001  # told by the engine, with the rule's name
            results.append(Failed(rule, error))
    return results


async def judge_beside(
    rules: Sequence[Rule], make: Callable[[ReadStore], Pass], store: ReadStore, alerts: ByRule
) -> list[RuleResult | Failed]:
    """The same in a thread. `make`: the pass over a store; what it makes is used in the thread alone."""
    stop = threading.Event()
    asked = cast("ReadStore", _AskedElsewhere(store, asyncio.get_running_loop(), stop))

    def work() -> list[RuleResult | Failed]:
        return asyncio.run(judge_all(rules, make(asked), alerts))

    try:
        return await asyncio.to_thread(work)
    except asyncio.CancelledError:
        stop.set()
        raise


class _AskedElsewhere:
    """A store whose questions are asked on the loop that owns it."""

    def __init__(self, store: ReadStore, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        self._store, self._loop, self._stop = store, loop, stop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def ask(*args: Any, **kwargs: Any) -> Any:
            if self._stop.is_set():
                raise _Abandoned
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(method(*args, **kwargs), self._loop))

        return ask
