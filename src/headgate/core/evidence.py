"""What an alert was judged by, as its history keeps it: enough to draw again what the rule saw. Plain data.

Invariant: it says what was so when the alert moved; a rule that is edited or deleted later changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Evidence", "Grew"]


class Grew(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job whose part in a change is known. `before`, `after`: in the metric's unit; `share`: of the whole change."""

    name: str
    before: float
    after: float
    share: float | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a rule of `kind` saw of one group. Times in milliseconds since the epoch, 0 where there is none.

    `metric`, `over`: of the catalogue; `group`: values of the rule's dimensions; `where`: label, operator and value of
    its matchers; `window_ms`: what is judged; `runs`: so many single runs are judged instead; `since_ms`: a period that
    is summed up. `seconds`: the alert's numbers are lengths of time, not values of the metric. `limits`: what the value
    is held against, by name. `first_bad`: id of a run; `change_ms`: when a lasting change began, `after`: to which
    value. `suspects`: commits, oldest first; `last_good`: link of that run. `whole_days`: windows end with a UTC day.
    """

    kind: str
    metric: str
    over: str
    group: Mapping[str, str]
    where: tuple[tuple[str, str, str], ...] = ()
    window_ms: int = 0
    runs: int = 0
    since_ms: int = 0
    seconds: bool = False
    limits: Mapping[str, float] = {}
    first_bad: str = ""
    first_bad_ms: int = 0
    first_bad_url: str = ""
    change_ms: int = 0
    after: float | None = None
    suspects: tuple[str, ...] = ()
    last_good: str = ""
    grew: tuple[Grew, ...] = ()
    whole_days: bool = False
