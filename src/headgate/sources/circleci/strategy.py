"""Which feeds a token may use: probed by real calls, the cheapest that tell everything are chosen.

Three strategies tell the same runs and jobs and differ in what their inputs cannot know (docs/circleci.md): the usage
export with pipelines and Insights runs, API v1.1 builds with Insights runs, and the v2 walk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.errors import NotFound, SourceError, SourceRefused, SourceUnavailable
from headgate.core.feeds import Feed, Strategy
from headgate.core.ports import Scope
from headgate.core.slug import org_slug
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.export_jobs import ExportJobs

__all__ = ["Exporting", "Feeds", "choose"]

# What pipelines and Insights tell waits for the export, which is looked at every few minutes and may fail and be
# ordered again; after that it leaves with estimated credits.
_EXPORT_WAIT_MS = 2 * HOUR_MS

_PROBED = 3  # projects that are tried before a route counts as closed to the token


@dataclass(frozen=True, slots=True)
class Feeds:
    """Every feed of one source.

    `builds` walks where v1.1 does not know a project; `queue_times` are builds beside a `walk` that waits for them, and
    `today` those of the day that no `export` covers.
    """

    pipelines: Feed
    insights: Feed
    builds: Feed
    walk: Feed
    walk_first: Feed
    queue_times: Feed
    export: Feed
    today: Feed


@dataclass(frozen=True, slots=True)
class _Door:
    """A route that may be closed to a token, with what to ask it."""

    what: str
    route: str
    params: Mapping[str, str]


_INSIGHTS = _Door("Insights", "/api/v2/insights/{slug}/workflows", {"all-branches": "true"})
_BUILDS = _Door("API v1.1", "/api/v1.1/project/{slug}", {"limit": "1", "shallow": "true"})


class Exporting:
    """Which organisations a token may export; asked once a day, for each look costs one of few calls."""

    def __init__(self, jobs: ExportJobs, enabled: Literal["auto", "on", "off"], now_ms: Callable[[], int]) -> None:
        self._jobs, self._enabled, self._now_ms = jobs, enabled, now_ms
        self._known: dict[str, tuple[int, str]] = {}

    async def allowed(self, orgs: Sequence[Scope], why: list[str]) -> list[Scope]:
        """Those that may be exported; `why` is told of the others."""
        if self._enabled != "auto":
            why += (
                ["the usage export is not used: it is off, or this is a Server, which has none"]
                if self._enabled == "off"
                else []
            )
            return list(orgs) if self._enabled == "on" else []
        refused = {org.slug: said for org in orgs if (said := await self._refusal(org))}
        for said in sorted(set(refused.values())):
            slugs = ", ".join(slug for slug, reason in refused.items() if reason == said)
            why.append(f"the usage export is not used for {slugs}: {said}")
        return [org for org in orgs if org.slug not in refused]

    async def _refusal(self, org: Scope) -> str:
        asked_ms, said = self._known.get(org.key, (0, ""))
        now_ms = self._now_ms()
        if now_ms - asked_ms >= DAY_MS:
            said = await self._jobs.may(org.key)
            self._known[org.key] = (now_ms, said)
        return said


async def choose(
    api: Api, feeds: Feeds, exporting: Exporting, scopes: Sequence[Scope], orgs: Sequence[Scope], *, server: bool
) -> Strategy:
    """Probe what is open. Raises SourceUnavailable, and SourceRefused for a token that is worth nothing.

    Organisations that may not be exported are told as if there was no export at all. `server`: a Server keeps runs far
    longer than its Insights tell of them.
    """
    why: list[str] = []
    exported = await exporting.allowed(orgs, why)
    slugs = frozenset(org.slug for org in exported)
    others = frozenset(org_slug(scope.slug) for scope in scopes) - slugs
    insights = not server and await _is_open(api, _INSIGHTS, scopes, why)
    why += ["Insights are not used: they end after 90 days, and a Server keeps runs for longer"] if server else []
    builds = await _is_open(api, _BUILDS, scopes, why)
    name, rest = _without_export(feeds, insights=insights, builds=builds)
    if not exported:
        return Strategy(name, rest, why=tuple(why))
    if not insights:
        # Nothing else than the walk tells how runs ended that did not succeed; the export adds to it.
        return Strategy("walk and export", (*rest, feeds.export), exported, tuple(why), wait_ms=_EXPORT_WAIT_MS)
    first = [feeds.pipelines, feeds.insights, *([feeds.today] if builds else []), feeds.export]
    only = {feed.name: slugs for feed in first if feed not in rest}
    if not others:
        return Strategy("export", first, exported, tuple(why), only, _EXPORT_WAIT_MS)
    only |= {feed.name: others for feed in rest if feed not in first}
    both = [*first, *(feed for feed in rest if feed not in first)]
    return Strategy(f"export and {name}", both, exported, tuple(why), only, _EXPORT_WAIT_MS)


def _without_export(feeds: Feeds, *, insights: bool, builds: bool) -> tuple[str, tuple[Feed, ...]]:
    """The name of the next best, and its feeds."""
    if insights and builds:
        return "builds", (feeds.insights, feeds.builds)
    return "walk", (feeds.walk_first, feeds.queue_times) if builds else (feeds.walk,)


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
