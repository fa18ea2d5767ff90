"""Values of filters that name something: refused where nothing of that name is known, with what is.

Invariant: what is refused could have had no run in the window or the one before; a branch is never refused, because
branches come and go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headgate.core.tally import TallyQuery
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import RefusalKind, Refused, unknown
from headgate.insights.views.window import Window, read_window

__all__ = ["must_be_known"]

# CircleCI's own words for what starts a pipeline, whether anything was started so or not.
# Source: CircleCI API v2, schema of a pipeline's `trigger.type`, and its webhooks, read November 2026.
_TRIGGERS = ("api", "explicit", "schedule", "scheduled_pipeline", "webhook")
_RECENT = 500


async def must_be_known(lens: Lens, words: Mapping[str, str], *, parameter: str = "") -> None:
    """Hold `org`, `team` and `trigger` of a query against what there is. Raises Refused.

    `parameter`: where they are written, unless as words of their own.
    """
    org, team, trigger = (words.get(name, "") for name in ("org", "team", "trigger"))
    if org:
        _one_of("unknown-org", parameter or "org", org, {row.org for row in await lens.projects()})
    if team:
        if not lens.owners.teams:
            detail = f"team {team!r} is not known: nobody owns anything yet; `owners` of the configuration says who"
            raise Refused("unknown-team", detail, parameter=parameter or "team")
        _one_of("unknown-team", parameter or "team", team, lens.owners.teams)
    if trigger and trigger not in _TRIGGERS:
        window = read_window(*(words.get(name) or None for name in ("since", "until", "window")), now_ms=lens.now_ms)
        await _trigger(lens, trigger, window, parameter or "trigger")


def _one_of(kind: RefusalKind, parameter: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, parameter, name, known)


async def _trigger(lens: Lens, trigger: str, window: Window, parameter: str) -> None:
    """Looked for among the last runs first, which costs less than sums of both windows."""
    if trigger in {run.trigger for run in await lens.store.recent_runs(_RECENT)}:
        return
    bounds = Window(window.previous.since_ms, window.until_ms).bounds(row.project for row in await lens.projects())
    there = {key[0] for key in await lens.store.tallies(TallyQuery("workflow", bounds, ("trigger",)))}
    _one_of("unknown-trigger", parameter, trigger, {*there, *_TRIGGERS} - {""})
