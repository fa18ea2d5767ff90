"""What Test Insights says: the worst and the slowest tests of a workflow's latest runs.

Invariant: pure; only the results of the runs given are looked at.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from headgate.testing.circleci import results, views_insights
from headgate.testing.circleci.flaky import TestKey
from headgate.testing.circleci.insight_stats import p95
from headgate.testing.circleci.model import Workflow
from headgate.testing.circleci.results import Result
from headgate.testing.circleci.world import World

RUNS = 10  # "calculated based on 10 most recent workflow runs" (API v2 document)
_LISTED = 10  # tests in each of the two lists; the real number is not published


def metrics(world: World, runs: Sequence[Workflow], flaky: set[TestKey]) -> dict[str, Any]:
    """Describe the tests of some runs that have ended; runs without results are left out."""
    by_test: dict[TestKey, list[Result]] = defaultdict(list)
    described = []
    for run in runs:
        words: list[str] = []
        for job in run.jobs:
            if job.workflow is run:
                for found in results.results(world, job):
                    by_test[job.spec.name, found.index].append(found)
                    words.append(found.result)
        if words:
            described.append(_run(world, run, words))
    tests = [_test(key, found, flaky=key in flaky) for key, found in by_test.items()]
    failed = [one for one in tests if one["failed_runs"]]
    worst, worst_extra = _top(failed, [one["failed_runs"] / one["total_runs"] for one in failed])
    slowest, slowest_extra = _top(tests, [one["p95_duration"] for one in tests])
    return {
        "average_test_count": sum(run["test_counts"]["total"] for run in described) // max(1, len(described)),
        "most_failed_tests": worst,
        "most_failed_tests_extra": worst_extra,
        "slowest_tests": slowest,
        "slowest_tests_extra": slowest_extra,
        "total_test_runs": len(described),
        "test_runs": described,
    }


def _run(world: World, run: Workflow, words: list[str]) -> dict[str, Any]:
    counted = views_insights.counts(words)
    return {
        "pipeline_number": run.pipeline.number,
        "workflow_id": world.id_of(run),
        "success_rate": counted["success"] / max(1, counted["total"] - counted["skipped"]),
        "test_counts": counted,
    }


def _test(key: TestKey, found: list[Result], *, flaky: bool) -> dict[str, Any]:
    return {
        **views_insights.test(key[0], found[0]),
        "p95_duration": p95(sorted(one.seconds for one in found)),
        "total_runs": len(found),
        "failed_runs": sum(one.result == "failure" for one in found),
        "flaky": flaky,
    }


def _top(tests: list[dict[str, Any]], weights: list[float]) -> tuple[list[dict[str, Any]], int]:
    """Give the heaviest tests, and how many left out weigh as much as the last one given."""
    order = sorted(range(len(tests)), key=lambda at: weights[at], reverse=True)
    shown = order[:_LISTED]
    extra = sum(weights[at] == weights[shown[-1]] for at in order[_LISTED:])
    return [tests[at] for at in shown], extra
