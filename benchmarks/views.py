"""What each page and answer of the API costs over the store of `benchmarks.insights`: the slowest of ten, by window."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from benchmarks.report import Row, row
from headgate.core.storeport import ReadStore
from headgate.insights.views.ask import query_page
from headgate.insights.views.credits import credits_page
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.overview import overview
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.run import run_page
from headgate.insights.views.runs import runs_page
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.window import read_step, read_window
from headgate.insights.views.workflow import workflow_page

_ROUNDS = 10
_TARGET = 0.3


async def measure_views(store: ReadStore, now_ms: int, project: str) -> list[Row]:
    """Rows for a week and a month; with what it takes to write the answer as JSON."""
    found = []
    for length in ("7d", "30d"):
        for name, ask in (await _asks(store, now_ms, project, length)).items():
            took = []
            for _ in range(_ROUNDS):
                begin = time.monotonic()
                orjson.dumps(await ask())
                took.append(time.monotonic() - begin)
            worst = max(took)
            found.append(row(f"{name}, {length}", worst, "s", target=f"<= {_TARGET} s", met=worst <= _TARGET))
    return found


async def _asks(store: ReadStore, now_ms: int, project: str, length: str) -> Mapping[str, Callable[[], Awaitable[Any]]]:
    window = read_window(None, None, length, now_ms=now_ms)
    step = read_step(None, window)
    last = (await runs_page(Lens(store, now_ms), project=project, window=window, limit=1)).runs[0].id
    one: dict[str, Any] = {"project": project, "window": window}

    def lens() -> Lens:
        return Lens(store, now_ms)

    return {
        "overview": lambda: overview(lens(), window=window),
        "projects": lambda: projects_page(lens(), window=window),
        "project": lambda: project_page(lens(), step=step, **one),
        "workflow": lambda: workflow_page(lens(), workflow="w1", step=step, **one),
        "job": lambda: job_page(lens(), workflow="w1", job="j1", step=step, **one),
        "runs": lambda: runs_page(lens(), **one),
        "run": lambda: run_page(lens(), run=last),
        "tests": lambda: page_of_tests(lens(), **one),
        "credits by project": lambda: credits_page(lens(), by="project", window=window, step=step),
        "credits by job": lambda: credits_page(lens(), by="job", window=window, step=step),
        "query in steps": lambda: query_page(
            lens(), metric="duration_p95", by=["project"], where=[], window=window, step=step
        ),
    }
