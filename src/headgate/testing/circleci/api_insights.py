"""The routes of Insights (API v2).

Test Insights (test metrics, flaky tests) exist for GitHub OAuth and Bitbucket organizations of the cloud alone.
Invariant: handlers are pure in the world and the request.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from headgate.testing.circleci import flaky, insight_tests, views_insights
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.history import History
from headgate.testing.circleci.http import Answer, Request, Route, reply
from headgate.testing.circleci.insight_query import Refused, branch, dates, window
from headgate.testing.circleci.insight_runs import (
    FOR_EVER,
    KEPT_MS,
    Run,
    Scope,
    Span,
    builds,
    of_job,
    of_workflows,
    select,
    span,
)
from headgate.testing.circleci.insight_stats import Stats, measure
from headgate.testing.circleci.model import Workflow
from headgate.testing.circleci.paging import page
from headgate.testing.circleci.times import DAY, HOUR
from headgate.testing.circleci.views_insights import Figures
from headgate.testing.circleci.world import World

_TREND_MAX_MS = 30 * DAY  # "Trends are only supported upto last 30 days": longer windows are compared with nothing
_HOURLY_KEPT_MS = 48 * HOUR
_BRANCHES_MAX = 5_000

Parts = Mapping[str, str]
Handler = Callable[[Request, Parts], Answer]
_Item = TypeVar("_Item")


class ApiInsights:
    """Answers Insights requests out of a world."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    def routes(self) -> list[Route]:
        """Give the routes; no path fits two of them."""
        named = "/{project-slug}/workflows/{workflow-name}"
        table: tuple[tuple[str, Handler], ...] = (
            ("/{org-slug}/summary", self._org_summary),
            ("/pages/{project-slug}/summary", self._project_summary),
            ("/{project-slug}/workflows", self._workflows),
            (named, self._runs),
            (f"{named}/jobs", self._jobs),
            (f"{named}/summary", self._workflow_summary),
            (f"{named}/test-metrics", self._test_metrics),
            (f"/time-series{named}/jobs", self._time_series),
            ("/{project-slug}/flaky-tests", self._flaky_tests),
            ("/{project-slug}/branches", self._branches),
        )
        return [Route("GET", f"/api/v2/insights{path}", _answering(handler), "v2") for path, handler in table]

    def _org_summary(self, request: Request, parts: Parts) -> Answer:
        histories = self._world.of_org(f"{parts['vcs']}/{parts['org']}")
        if not histories:
            raise Refused(404, "Organization not found")
        length, wanted = window(request), request.query.get("project-names", [])
        named = [history for history in histories if history.project.name in wanted]
        return reply(
            {
                "org_data": self._figures(views_insights.WHOLE, histories, length),
                "org_project_data": [
                    {
                        "project_name": history.project.name,
                        **self._figures(views_insights.OF_PROJECT, [history], length),
                    }
                    for history in named
                ],
                "all_projects": sorted(history.project.name for history in histories),
            }
        )

    def _project_summary(self, request: Request, parts: Parts) -> Answer:
        history, length = self._history(parts), window(request)
        wanted, branches = request.query.get("workflow-names", []), request.query.get("branches", [])
        covered = span(self._world)
        known = list(select(covered, history, _all(None, None)))
        names = sorted({run.spec.name for run in known} & set(wanted))
        places = sorted({(run.spec.name, str(run.pipeline.branch)) for run in known})
        shown = [(name, place) for name, place in places if name in names and place in branches]
        of_workflow = views_insights.OF_WORKFLOW
        return reply(
            {
                "org_id": history.project.org.id,
                "project_id": history.project.id,
                "project_data": self._figures(views_insights.WHOLE, [history], length),
                "project_workflow_data": [
                    {"workflow_name": name, **self._figures(of_workflow, [history], length, name)} for name in names
                ],
                "project_workflow_branch_data": [
                    {
                        "workflow_name": name,
                        "branch": place,
                        **self._figures(of_workflow, [history], length, name, place),
                    }
                    for name, place in shown
                ],
                "all_branches": sorted({place for _name, place in places}),
                "all_workflows": sorted({name for name, _branch in places}),
            }
        )

    def _figures(
        self,
        wanted: Figures,
        histories: Sequence[History],
        length: int,
        name: str | None = None,
        place: str | None = None,
    ) -> dict[str, dict[str, float]]:
        """Give figures of a window with trends against the window before."""
        return views_insights.figures(wanted, *self._compared(histories, length, name, place))

    def _compared(
        self, histories: Sequence[History], length: int, name: str | None, place: str | None
    ) -> tuple[Stats, Stats]:
        """Measure a window that ends now and the one before it, which is empty beyond 30 days."""
        now, covered = self._world.now(), span(self._world)
        back = now - length
        before = back - length if length <= _TREND_MAX_MS else back
        spans = (Scope(name, place, back, now + 1), Scope(name, place, before, back))
        current, previous = (
            measure([run for history in histories for run in of_workflows(covered, select(covered, history, scope))])
            for scope in spans
        )
        return current, previous

    def _workflows(self, request: Request, parts: Parts) -> Answer:
        history, covered = self._history(parts), span(self._world)
        since = self._world.now() - window(request)
        by_name: dict[str, list[Workflow]] = defaultdict(list)
        for run in select(covered, history, Scope(None, branch(request, history), since, covered.until + 1)):
            by_name[run.spec.name].append(run)
        shown, token = self._page(request, by_name, lambda name: (name,))
        project = history.project.id
        items = [
            views_insights.workflow(name, project, measure(of_workflows(covered, by_name[name]))) for name in shown
        ]
        return reply({"next_page_token": token, "items": items})

    def _runs(self, request: Request, parts: Parts) -> Answer:
        history, name = self._workflow(parts)
        covered = span(self._world)
        since, before = dates(request, self._world.now(), KEPT_MS)
        scope = Scope(name, branch(request, history), since, before)
        ended = [run for run in select(covered, history, scope) if covered.lists(run)]
        ended = [run for run in ended if not self._faults.hides("insights", self._world.id_of(run))]
        shown, token = self._page(request, ended, lambda run: (-run.created, -run.index))
        items = [views_insights.run(self._world, run) for run in shown]
        return reply({"next_page_token": token, "items": items})

    def _jobs(self, request: Request, parts: Parts) -> Answer:
        history, name = self._workflow(parts)
        covered, since = span(self._world), self._world.now() - window(request)
        by_name: dict[str, list[Run]] = defaultdict(list)
        scope = Scope(name, branch(request, history), since, covered.until + 1)
        for job in builds(covered, select(covered, history, scope)):
            by_name[job.spec.name].append(of_job(covered, job))
        shown, token = self._page(request, by_name, lambda name: (name,))
        items = [views_insights.job(name, measure(by_name[name])) for name in shown]
        return reply({"next_page_token": token, "items": items})

    def _workflow_summary(self, request: Request, parts: Parts) -> Answer:
        """Describe 90 days, with trends of 30; the real one does not say which days it takes."""
        history, name = self._workflow(parts)
        place, covered = branch(request, history), span(self._world)
        now = measure(of_workflows(covered, select(covered, history, _all(name, place))))
        if not now.total:
            now = replace(now, window_start=covered.since, window_end=covered.until)
        trend = self._compared([history], _TREND_MAX_MS, name, place)
        return reply(views_insights.workflow_summary(_names(covered, history), now, trend))

    def _time_series(self, request: Request, parts: Parts) -> Answer:
        history, name = self._workflow(parts)
        granularity = request.one("granularity") or "daily"
        if granularity not in {"daily", "hourly"}:
            raise Refused(400, "granularity must be daily or hourly")
        hourly = granularity == "hourly"
        every, kept = (HOUR, _HOURLY_KEPT_MS) if hourly else (DAY, KEPT_MS)
        covered, (since, before) = span(self._world, hourly=hourly), dates(request, self._world.now(), kept)
        by_place: dict[tuple[int, str], list[Run]] = defaultdict(list)
        place = request.one("branch") or history.project.default_branch
        for job in builds(covered, select(covered, history, _all(name, place))):
            if since <= job.started < before:
                by_place[job.started // every * every, job.spec.name].append(of_job(covered, job))
        shown, token = self._page(request, by_place, lambda place: (-place[0], place[1]))
        items = [views_insights.interval(job, start, measure(by_place[start, job])) for start, job in shown]
        return reply({"next_page_token": token, "items": items})

    def _test_metrics(self, request: Request, parts: Parts) -> Answer:
        history, name = self._workflow(parts)
        covered = self._tested(history)
        scope = _all(name, branch(request, history))
        ended = [run for run in select(covered, history, scope) if covered.lists(run)]
        newest = sorted(ended, key=lambda run: run.created, reverse=True)[: insight_tests.RUNS]
        flaked = {flake.key for flake in flaky.current(self._world, history, covered.since, covered.until)}
        return reply(insight_tests.metrics(self._world, newest, flaked))

    def _flaky_tests(self, _request: Request, parts: Parts) -> Answer:
        history = self._history(parts)
        covered = self._tested(history)
        found = flaky.current(self._world, history, covered.since, covered.until)
        return reply(views_insights.flaky_tests(self._world, found))

    def _branches(self, request: Request, parts: Parts) -> Answer:
        history = self._history(parts)
        runs = select(span(self._world), history, _all(request.one("workflow-name"), None))
        branches = sorted({str(run.pipeline.branch) for run in runs})
        project = history.project
        return reply({"org_id": project.org.id, "project_id": project.id, "branches": branches[:_BRANCHES_MAX]})

    def _history(self, parts: Parts) -> History:
        history = self._world.history(parts["vcs"], parts["org"], parts["repo"])
        if history is None:
            raise Refused(404, "Project not found")
        return history

    def _workflow(self, parts: Parts) -> tuple[History, str]:
        """Find a project and the name of one of its workflows that Insights knows."""
        history, name = self._history(parts), parts["workflow_name"]
        if name not in _names(span(self._world), history):
            raise Refused(404, "Workflow not found")
        return history, name

    def _tested(self, history: History) -> Span:
        """Give what Insights covers of a project that has Test Insights."""
        if self._world.options.mode == "server" or not history.project.has_vcs:
            raise Refused(404, "Not found")
        return span(self._world)

    def _page(
        self, request: Request, items: Iterable[_Item], key: Callable[[_Item], tuple[int | str, ...]]
    ) -> tuple[list[_Item], str | None]:
        try:
            return page(items, key, request.one("page-token"), self._world.options.knobs.insights_page)
        except ValueError as exc:
            raise Refused(400, "Invalid page token") from exc


def _names(covered: Span, history: History) -> list[str]:
    """Give the workflows Insights knows, by name."""
    return sorted({run.spec.name for run in select(covered, history, _all(None, None))})


def _all(name: str | None, branch: str | None) -> Scope:
    """Ask for everything Insights keeps."""
    return Scope(name, branch, 0, FOR_EVER)


def _answering(handler: Handler) -> Handler:
    def answer(request: Request, parts: Parts) -> Answer:
        try:
            return handler(request, parts)
        except Refused as refused:
            return refused.answer

    return answer
