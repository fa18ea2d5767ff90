"""What each page and answer of the API costs over the store of `benchmarks.insights`: the slowest of ten, by window.

Beside it the processor time of one answer, which says more where other programs run, and the first answer after the
system forgot the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median
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


async def measure_views(store: ReadStore, path: Path, now_ms: int, project: str) -> list[Row]:
    """Rows for a week, a month and a quarter; with what it takes to write the answer as JSON."""
    found = []
    for length in ("7d", "30d", "90d"):
        for name, ask in (await _asks(store, now_ms, project, length)).items():
            _forget(path)
            took, used = [], []
            for _ in range(1 + _ROUNDS):
                begin, spent = time.monotonic(), time.process_time()
                orjson.dumps(await ask())
                took.append(time.monotonic() - begin)
                used.append(time.process_time() - spent)
            worst, one = max(took[1:]), median(used[1:])
            peer = ("processor time", one)
            found.append(
                row(f"{name}, {length}", worst, "s", peer=peer, target=f"<= {_TARGET} s", met=worst <= _TARGET)
            )
            found.append(row(f"{name}, {length}, cold", took[0], "s", peer=("processor time", used[0])))
    return found


def _forget(path: Path) -> None:
    """Have the system drop what it has of the file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


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
