"""When a fact may leave."""

from __future__ import annotations

import pytest

from headgate.core.facts import Value
from headgate.core.merge import EMPTY, Known, Stamp
from headgate.core.release import Release, ReleasePolicy, decide

FULL = {"status": "success", "started_at": 1, "stopped_at": 2, "number": 3, "ref_name": "main"}


def ended(**values: Value) -> Known:
    return Known(values, {name: Stamp(True, 1, "webhook") for name in values})


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in FULL.items() if key != name}


CASES = [
    pytest.param(EMPTY, "none", False, None, Release.NOT_YET, id="running"),
    pytest.param(ended(**FULL), "none", False, None, Release.NOW, id="complete-and-nothing-to-wait-for"),
    pytest.param(ended(**FULL), "batch", False, 100, Release.WAIT, id="waits-for-enrichment"),
    pytest.param(ended(**FULL), "batch", True, 100, Release.NOW, id="enriched"),
    pytest.param(ended(**FULL), "batch", False, 50, Release.NOW, id="overdue"),
    pytest.param(ended(**without("started_at")), "none", False, 100, Release.WAIT, id="start-may-still-come"),
    pytest.param(ended(**without("ref_name")), "none", False, 100, Release.WAIT, id="ref-may-still-come"),
    pytest.param(
        ended(status="not_run", stopped_at=2, ref_name="main"), "batch", False, 100, Release.NOW, id="never-ran"
    ),
    pytest.param(ended(status="not_run", ref_name="main"), "batch", False, 100, Release.NOW, id="never-had-times"),
    pytest.param(ended(**FULL, type="approval"), "each", False, 100, Release.NOW, id="approvals-have-no-detail"),
]


@pytest.mark.parametrize(("known", "profile", "enriched", "due_ms", "expected"), CASES)
def test_release_of_a_job(known, profile, enriched, due_ms, expected):
    """Complete and enriched, or overdue."""
    policy = ReleasePolicy(profile)
    assert decide("job", known, {}, policy, enriched=enriched, due_ms=due_ms, now_ms=50) is expected


def test_the_ref_of_the_workflow_is_enough_for_its_jobs():
    """Jobs have no branch of their own."""
    job = ended(**without("ref_name"))
    policy = ReleasePolicy("none")
    assert decide("job", job, {"ref_name": "main"}, policy, enriched=False, due_ms=None, now_ms=50) is Release.NOW
