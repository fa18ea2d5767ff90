"""What Insights says about runs and tests.

Shapes: the corrected OpenAPI document and CircleCI's samples. Invariant: pure; times have milliseconds, durations and
recovery times are whole seconds, what nothing is known about is null where the document allows it, else 0.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headgate.testing.circleci.flaky import Flake
from headgate.testing.circleci.insight_stats import Durations, Stats, ratio
from headgate.testing.circleci.model import Workflow
from headgate.testing.circleci.results import Result
from headgate.testing.circleci.times import SECOND, rfc3339_ms, rfc3339_seconds
from headgate.testing.circleci.world import World

Figures = dict[str, Callable[[Stats], float | None]]

_RUNS: Figures = {"total_runs": lambda stats: stats.total}
_CREDITS: Figures = {"total_credits_used": lambda stats: stats.credits}
_SUCCESS: Figures = {"success_rate": lambda stats: stats.success_rate}
_LENGTH: Figures = {"total_duration_secs": lambda stats: stats.seconds}
_THROUGHPUT: Figures = {"throughput": lambda stats: stats.throughput}
_P95: Figures = {"p95_duration_secs": lambda stats: stats.durations.p95}

WHOLE: Figures = {**_RUNS, **_LENGTH, **_CREDITS, **_SUCCESS, **_THROUGHPUT}  # an organization, or a project's page
OF_PROJECT: Figures = {**_CREDITS, **_LENGTH, **_RUNS, **_SUCCESS}
OF_WORKFLOW: Figures = {**_CREDITS, **_P95, **_RUNS, **_SUCCESS}  # a workflow of a project's page, or its branch
_OF_SUMMARY: Figures = {
    **_RUNS,
    "failed_runs": lambda stats: stats.failed,
    **_SUCCESS,
    **_P95,
    "median_duration_secs": lambda stats: stats.durations.median,
    **_CREDITS,
    "mttr": lambda stats: stats.mttr,
    **_THROUGHPUT,
}


def figures(wanted: Figures, now: Stats, before: Stats) -> dict[str, dict[str, float]]:
    """Give figures and their trends: current divided by previous."""
    return {
        "metrics": {name: read(now) or 0 for name, read in wanted.items()},
        "trends": {name: ratio(read(now), read(before)) for name, read in wanted.items()},
    }


def run(world: World, found: Workflow) -> dict[str, Any]:
    """Describe one run of a workflow."""
    return {
        "id": world.id_of(found),
        "branch": found.pipeline.branch,
        "status": found.status,
        "duration": (found.stopped - found.created) // SECOND,
        "created_at": rfc3339_ms(found.created),
        "stopped_at": rfc3339_ms(found.stopped),
        "credits_used": found.credits,
        "is_approval": False,  # it says whether a job is an approval; these are workflows
    }


def workflow(name: str, project_id: str, stats: Stats) -> dict[str, Any]:
    """Describe the runs of a workflow."""
    return {
        "name": name,
        "metrics": {
            "success_rate": stats.success_rate,
            **_counts(stats),
            "mttr": stats.mttr,
            "total_recoveries": stats.recoveries if stats.completed else None,
            "duration_metrics": _durations(stats.durations),
            "total_credits_used": stats.credits if stats.completed else None,
        },
        **_window(stats),
        "project_id": project_id,
    }


def job(name: str, stats: Stats) -> dict[str, Any]:
    """Describe the runs of a job."""
    return {
        "name": name,
        **_window(stats),
        "metrics": {
            "success_rate": stats.success_rate,
            **_counts(stats),
            "total_credits_used": stats.credits,
            "duration_metrics": _durations(stats.durations),
        },
    }


def workflow_summary(names: Sequence[str], now: Stats, trend: tuple[Stats, Stats]) -> dict[str, Any]:
    """Describe the runs of a workflow with trends, which are of a shorter time than the figures."""
    return {
        "metrics": {
            **_counts(now),
            "success_rate": now.success_rate,
            "mttr": now.mttr,
            "completed_runs": now.completed or None,
            "total_credits_used": now.credits if now.completed else None,
            **_window(now),
            "duration_metrics": _durations(now.durations),
        },
        "trends": figures(_OF_SUMMARY, *trend)["trends"],
        "workflow_names": list(names),
    }


def interval(name: str, start: int, stats: Stats) -> dict[str, Any]:
    """Describe the runs of a job that started within an hour or a day."""
    return {
        "name": name,
        "timestamp": rfc3339_seconds(start),
        "min_started_at": rfc3339_ms(stats.window_start),
        "max_ended_at": rfc3339_ms(stats.window_end),
        "metrics": {
            "total_runs": stats.total,
            "failed_runs": stats.failed,
            "successful_runs": stats.successful,
            "throughput": stats.throughput,
            "median_credits_used": stats.median_credits,
            "total_credits_used": stats.credits,
            "duration_metrics": {
                "min": stats.durations.min,
                "median": stats.durations.median,
                "max": stats.durations.max,
                "p95": stats.durations.p95,
                "total": stats.seconds if stats.completed else None,
            },
        },
    }


def test(job_name: str, found: Result) -> dict[str, Any]:
    """Name a test; what its results leave blank is null here."""
    return {
        "test_name": found.name,
        "classname": found.classname or None,
        "file": found.file or None,
        "source": found.source or None,
        "job_name": job_name,
    }


def flaky_tests(world: World, flakes: Sequence[Flake]) -> dict[str, Any]:
    """List each flake; `total_flaky_tests` counts tests, and some flakes do not say how much time they wasted."""
    times: dict[tuple[str, int], int] = {}
    for flake in flakes:
        times[flake.key] = times.get(flake.key, 0) + 1
    listed = []
    for flake in flakes:
        build = flake.build
        said = {
            **test(build.spec.name, flake.result),
            "times_flaked": times[flake.key],
            "job_number": build.number,
            "pipeline_number": build.workflow.pipeline.number,
            "workflow_id": world.id_of(build.workflow),
            "workflow_name": build.workflow.spec.name,
            "workflow_created_at": rfc3339_ms(build.workflow.created),
        }
        if build.number % 2:
            said["time_wasted"] = (build.stopped - build.started) // SECOND
        listed.append(said)
    return {"flaky_tests": listed, "total_flaky_tests": len(times)}


def counts(words: Iterable[str]) -> dict[str, int]:
    """Count the results of a run by their word."""
    said = list(words)
    return {**{word: said.count(word) for word in ("error", "failure", "skipped", "success")}, "total": len(said)}


def _counts(stats: Stats) -> dict[str, Any]:
    return {
        "total_runs": stats.total,
        "failed_runs": stats.failed,
        "successful_runs": stats.successful,
        "throughput": stats.throughput,
    }


def _durations(found: Durations) -> dict[str, Any]:
    return {
        "min": found.min,
        "max": found.max,
        "median": found.median,
        "mean": found.mean,
        "p95": found.p95,
        "standard_deviation": found.standard_deviation,
    }


def _window(stats: Stats) -> dict[str, str]:
    return {"window_start": rfc3339_ms(stats.window_start), "window_end": rfc3339_ms(stats.window_end)}
