"""Whatever the order in which webhooks, lists and builds of the same runs arrive, the same is known in the end."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.merge import EMPTY, ProjectRef, merge
from headgate.sources.circleci import normalize
from headgate.sources.circleci.normalize import Context
from headgate.sources.circleci.normalize_v1 import build

SAMPLES = Path(__file__).parents[3] / "data" / "circleci"
OWNER = ProjectRef("circleci.com", "gh/DavidS/circleci-hook", "gh/DavidS", "1fbc30b3-cdb4-4874-a42e-abb81ffd0364")
RUN = "410c427b-40a8-4bb4-9d42-5561f5bce5ba"
JOB = "20e45d7e-e4a7-4aa3-8f92-fd6d9d01da75"
PIPELINE = "2bed20e7-711a-45cf-b7e8-017a0575a26c"


def _ctx(at):
    return Context("circleci.com", at)


def _webhooks():
    found = []
    for at, path in enumerate(sorted((SAMPLES / "webhooks").glob("*.json"))):
        payload = json.loads(path.read_bytes())
        for seen in (at, at + 100):  # each is delivered twice
            found += normalize.webhook(payload, _ctx(seen))
        if "job" in payload:  # and once with the word that may hide a time-out
            failed = {**payload, "job": {**payload["job"], "status": "failed"}}
            found += normalize.webhook(failed, _ctx(at + 50))
    return found


def _lists():
    """What v2, v1.1 and the detail would say of one captured run, before and after its end."""
    found = []
    pipeline = {"id": PIPELINE, "number": 10, "state": "created", "trigger": {"type": "webhook"}}
    for at, (status, stopped) in enumerate([("running", None), ("success", "2022-08-27T20:26:31Z")]):
        ctx = _ctx(1000 + at)
        parent = normalize.pipeline(pipeline, OWNER, ctx)
        listed = {"id": RUN, "name": "production", "status": status, "stopped_at": stopped, "pipeline_id": PIPELINE}
        run = normalize.workflow({**listed, "created_at": "2022-08-27T20:25:40Z"}, OWNER, ctx, parent.fields)
        job = {"id": JOB, "job_number": 10, "name": "rust/lint-test-build", "type": "build", "stopped_at": stopped}
        job |= {"status": "running" if stopped is None else "timedout", "started_at": "2022-08-27T20:25:43Z"}
        found += [parent, run, normalize.job(job, run, OWNER, ctx)]
        found.append(normalize.job_detail({"queued_at": "2022-08-27T20:25:41.500Z", **job}, JOB, OWNER, ctx))
        row = {"build_num": 10, "status": job["status"], "workflows": {"workflow_id": RUN, "job_id": JOB}}
        found += build({**row, "usage_queued_at": "2022-08-27T20:25:41.111Z", "stop_time": stopped}, OWNER, ctx)
    return found


OBSERVATIONS = [*_webhooks(), *_lists()]


def _all_known(observations):
    known = {}
    for found in observations:
        known[found.kind, found.key] = merge(known.get((found.kind, found.key), EMPTY), found)
    return known


EXPECTED = _all_known(OBSERVATIONS)


@settings(max_examples=80, deadline=None)
@given(order=st.permutations(range(len(OBSERVATIONS))), repeats=st.lists(st.integers(0, len(OBSERVATIONS) - 1)))
def test_any_interleaving_ends_the_same(order, repeats):
    """Order and repetition do not matter."""
    assert _all_known(OBSERVATIONS[index] for index in [*order, *repeats]) == EXPECTED


def test_the_better_source_wins_each_field():
    """Times are the webhook's, queue time is v1.1's, and the list's precise word replaces a webhook's `failed`."""
    job = EXPECTED["job", JOB]
    assert job.stamps["stopped_at"].source == "webhook"
    assert job.stamps["queued_at"].source == "v1.1"
    assert EXPECTED["workflow", RUN].values["status"] == "success"
    only_failed = [one for one in OBSERVATIONS if one.fields.get("status") != "success"]
    assert _all_known(only_failed)["job", JOB].values["status"] == "timedout"
