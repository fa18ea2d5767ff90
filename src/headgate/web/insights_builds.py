"""`/api/v1/insights/now`, `builds` and `dora`: what goes on, the last builds, and how it is deployed. Thin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from headgate.insights.views.builds import BuildsPage, ProjectBuilds, builds_page, project_builds
from headgate.insights.views.dora import DoraPage, dora_page
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.live import Now
from headgate.insights.views.moment import now_of
from headgate.web.answering import answer
from headgate.web.asking import Listed, Name, Text, Windowed
from headgate.web.documented import documented

__all__ = ["add_builds"]


class _Owned(Windowed):
    """A question about some of the projects."""

    org: Text = Field(default="", description="Only projects of this organisation, such as gh/acme.")
    team: Text = Field(default="", description="Only what this team owns.")

    @property
    def owned(self) -> Filters:
        """As views take them."""
        return Filters(org=self.org, team=self.team)


class BuildsQuery(_Owned, Listed):
    """Projects as a Server showed them."""


class ProjectBuildsQuery(Windowed):
    """The last builds of a project."""

    project: Name
    branch: Text = Field(default="", description="A branch or tag whose last builds are wanted too.")


class DoraQuery(_Owned):
    """Deployments."""

    project: Name | None = None


def add_builds(router: APIRouter, lens: Callable[[], Lens]) -> None:
    """Add the routes."""

    @router.get("/insights/now", **documented(Now))
    async def get_now() -> Response:
        """What runs, is queued, on hold or stuck at this moment."""
        return answer((await now_of(lens()))[0])

    @router.get("/insights/builds", **documented(BuildsPage))
    async def get_builds(asked: Annotated[BuildsQuery, Query()]) -> Response:
        """Every project with what goes on, median build and queue time, branches, last build and its parallelism."""
        at = lens()
        window = asked.window_at(at.now_ms)
        page = await builds_page(at, window=window, filters=asked.owned, cursor=asked.cursor, limit=asked.limit)
        return answer(page)

    @router.get("/insights/project-builds", **documented(ProjectBuilds))
    async def get_project_builds(asked: Annotated[ProjectBuildsQuery, Query()]) -> Response:
        """The last 50 builds of the default branch, the last 120 of a chosen one, and medians by day."""
        at = lens()
        window = asked.window_at(at.now_ms)
        return answer(await project_builds(at, project=asked.project, window=window, branch=asked.branch))

    @router.get("/insights/dora", **documented(DoraPage))
    async def get_dora(asked: Annotated[DoraQuery, Query()]) -> Response:
        """Deployment frequency, lead time, change failure rate and recovery time with their definitions."""
        at = lens()
        window = asked.window_at(at.now_ms)
        return answer(await dora_page(at, window=window, project=asked.project or "", filters=asked.owned))
