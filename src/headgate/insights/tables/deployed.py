"""Tables of builds as a CircleCI Server showed them, and of deployments."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.insights.tables.columns import column, figures, of_fields
from headgate.insights.tables.places import BRANCH_CLASSES, columns_of_steps, rows_of_steps
from headgate.insights.tables.table import FILTERS, WINDOW, Asking, Column, Material, Pages, Table
from headgate.insights.views.builds import ProjectLine, builds_page
from headgate.insights.views.dora import (
    DORA_FIGURES,
    DORA_PLOTTED,
    DeploymentView,
    deployment_pages,
    dora_page,
    dora_plot,
)
from headgate.insights.views.lens import Lens

__all__ = ["DEPLOYED"]

_PAGE = 500
_BY = ("project", "team")


async def _builds(material: Material, asked: Asking) -> Pages:
    cursor: str | None = None
    while True:
        page = await builds_page(material.lens, window=asked.window, filters=asked.filters, cursor=cursor, limit=_PAGE)
        yield page.projects
        cursor = page.next
        if cursor is None:
            return


def _dora_columns(_: Lens, asked: Asking) -> Sequence[Column]:
    name = column(asked.one("by") or "project", "text", "", lambda row: row.name)
    return (name, *figures(DORA_FIGURES))


async def _dora(material: Material, asked: Asking) -> Pages:
    page = await dora_page(material.lens, window=asked.window, project=asked.one("project"), filters=asked.filters)
    yield page.teams if asked.one("by") == "team" else page.projects


async def _dora_plot(material: Material, asked: Asking) -> Pages:
    lines = await dora_plot(material.lens, window=asked.window, project=asked.one("project"), filters=asked.filters)
    yield rows_of_steps(lines)


async def _deployments(material: Material, asked: Asking) -> Pages:
    async for page in deployment_pages(
        material.lens, window=asked.window, project=asked.one("project"), filters=asked.filters
    ):
        yield page


_BUILDS = (
    *of_fields(
        ProjectLine,
        leave=("build_time", "queue_time", "last_build", "last_builds"),
        docs={
            "running": "Runs at this moment.",
            "queued": "Jobs that wait for a machine at this moment.",
            "on_hold": "Runs that wait for a person at this moment.",
            "branches": "With runs in the window.",
            "parallelism": "The most machines that one job of the last build ran on.",
        },
    ),
    column("build_time", "number", "Median of successful builds, seconds.", lambda row: row.build_time.value, "s"),
    column("queue_time", "number", "Median time in the queue, seconds.", lambda row: row.queue_time.value, "s"),
    column("last_build", "text", "Id of the newest build.", lambda row: row.last_build and row.last_build.id),
    column("last_status", "text", "How that ended.", lambda row: row.last_build and row.last_build.status),
    column("last_at", "time", "When that ended.", lambda row: row.last_build and row.last_build.stopped_at),
)

DEPLOYED = (
    Table(
        "builds",
        "Builds",
        "Projects with what goes on in each, median build and queue time, branches and the last build.",
        (*WINDOW, *FILTERS),
        lambda *_: _BUILDS,
        _builds,
        choices=BRANCH_CLASSES,
    ),
    Table(
        "dora",
        "DORA",
        "The four DORA metrics as proxies, by project or team, most deployments first.",
        ("by", "project", *WINDOW, "org", "team"),
        _dora_columns,
        _dora,
        choices={"by": _BY},
    ),
    Table(
        "dora_plot",
        "Deployments over time",
        "Deployments that succeeded and that failed by day, or by week where the window is longer than a month.",
        ("project", *WINDOW, "org", "team"),
        lambda *_: columns_of_steps(DORA_PLOTTED),
        _dora_plot,
    ),
    Table(
        "deployments",
        "Deployments",
        "Ended deployments, oldest first.",
        ("project", *WINDOW, "org", "team"),
        lambda *_: of_fields(DeploymentView, docs={"origin": "How it is known: rule, marker or call."}),
        _deployments,
    ),
)
