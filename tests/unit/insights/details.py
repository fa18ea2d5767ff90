"""A store of little for views of parts of runs, and what it is told."""

from headgate.insights.views.lens import Lens
from headgate.insights.views.window import read_window
from headgate.testing.store_data import DAY, JOB, NOW, PROJECT, seen

SLUG = PROJECT.slug
WINDOW = read_window(None, None, "30d", now_ms=NOW)


def lens(store, **more):
    """What views are made from."""
    return Lens(store, NOW, **more)


def key(kind, number):
    """An id as CircleCI writes it."""
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


def usage(number, **more):
    """A row of the usage export about a job that kept a large machine's memory busy to a fifth."""
    place = {"workflow_name": "build", "job_name": "test", "resource_class": "large", "executor": "docker"}
    busy = {"ram_max_pct": 20.0, "cpu_median_pct": 10.0, "cpu_max_pct": 20.0}
    bill = {"run_seconds": 60, "compute_credits": 20, "storage_credits": 1, "total_credits": 21}
    fields = {**place, **busy, **bill, "operating_system": "linux", "stopped_at": NOW - number * 1_000} | more
    return seen("usage", key(31, number), {name: value for name, value in fields.items() if value is not None})


def step(number, job_id=JOB, **more):
    """A step that failed."""
    fields = {"job_id": job_id, "name": "make test", "status": "failed", "index": 1, "node": 0, "stopped_at": NOW}
    return seen("step", key(32, number), fields | more)


def result(number, word="fail", *, test=1, job_id=JOB, **more):
    """A result of a test."""
    fields = {"job_id": job_id, "name": f"test_{test}", "result": word, "stopped_at": NOW, "test_id": key(34, test)}
    return seen("test_result", key(33, number), fields | {"run_ms": 100} | more)


__all__ = ["DAY", "JOB", "NOW", "PROJECT", "SLUG", "WINDOW", "key", "lens", "result", "step", "usage"]
