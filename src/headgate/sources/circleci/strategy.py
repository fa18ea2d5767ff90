"""Which feeds a token may use: probed by real calls, the cheapest that tell everything are chosen.

Three strategies tell the same runs and jobs and differ in what their inputs cannot know (docs/circleci.md): the usage
export with pipelines and Insights runs, API v1.1 builds with Insights runs, and the v2 walk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.errors import NotFound, SourceError, SourceRefused, SourceUnavailable
from headgate.core.feeds import Feed, Strategy
from headgate.core.ports import Scope
from headgate.sources.circleci.api import Api

__all__ = ["Feeds", "choose"]

_PROBED = 3  # projects that are tried before a route counts as closed to the token


@dataclass(frozen=True, slots=True)
class Feeds:
    """Every feed of one source.

    `builds` walks where v1.1 does not know a project; `queue_times` are builds beside a `walk` that waits for them.
    """

    pipelines: Feed
    insights: Feed
    builds: Feed
    walk: Feed
    walk_first: Feed
    queue_times: Feed


@dataclass(frozen=True, slots=True)
class _Door:
    """A route that may be closed to a token, with what to ask it."""

    what: str
    route: str
    params: Mapping[str, str]


_INSIGHTS = _Door("Insights", "/api/v2/insights/{slug}/workflows", {"all-branches": "true"})
_BUILDS = _Door("API v1.1", "/api/v1.1/project/{slug}", {"limit": "1", "shallow": "true"})


async def choose(api: Api, feeds: Feeds, scopes: Sequence[Scope]) -> Strategy:
    """Probe with the first projects. Raises SourceUnavailable, and SourceRefused for a token that is worth nothing."""
    why: list[str] = []
    insights = await _is_open(api, _INSIGHTS, scopes, why)
    builds = await _is_open(api, _BUILDS, scopes, why)
    if insights and builds:
        return Strategy("builds", (feeds.insights, feeds.builds), why=tuple(why))
    if builds:
        return Strategy("walk", (feeds.walk_first, feeds.queue_times), why=tuple(why))
    return Strategy("walk", (feeds.walk,), why=tuple(why))


async def _is_open(api: Api, door: _Door, scopes: Sequence[Scope], why: list[str]) -> bool:
    """Whether a route answers for any of the first projects; else the last reason is told."""
    said = "there is no project to try it with"
    for scope in scopes[:_PROBED]:
        try:
            await api.get(door.route, params=door.params, patient=True, slug=scope.slug)
        except SourceUnavailable:
            raise
        except (SourceRefused, NotFound) as error:
            if api.refused:
                raise
            said = _reason(error)
        else:
            return True
    why.append(f"{door.what} is not used: {said}")
    return False


def _reason(error: SourceError) -> str:
    return error.reason if isinstance(error, SourceRefused) else str(error)
