"""The truth agrees with what each source says, name by name."""

from collections import Counter

import pytest
from orjson import loads

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.times import DAY, parse
from headgate.testing.circleci.truth import STATUS_WORDS, lines
from headgate.testing.circleci.webhooks import body, kind_of
from headgate.testing.circleci.world import World

NOW = parse("2026-11-20T12:00:00Z")
KNOBS = Knobs(tag_rate=0.1, late_reruns_per_day=0.8, infrastructure_fail_rate=0.02)
TIMES = {"created": "circleci.created_at", "started": "circleci.started_at", "stopped": "circleci.stopped_at"}


@pytest.fixture(scope="module")
def world():
    """Make a world four days after its start."""
    made = World(Options(now_ms=NOW, seed=5, days=4, projects=4, runs_per_day=12, knobs=KNOBS))
    made.clock.advance(4 * DAY)
    return made


@pytest.fixture(scope="module")
def truth(world):
    """All lines, by id."""
    told = [loads(line) for line in lines(world)]
    assert len(told) == len({line["provider_id"] for line in told})
    return {line["provider_id"]: line for line in told}


def agree(line, source, said):
    """Assert that a source's values are those of the truth wherever they are knowable."""
    knowable = set(line["knowable"][source])
    assert {name: line["final"][name] for name in knowable & said.keys()} == {
        name: said[name] for name in knowable & said.keys()
    }


def ref_of(pipeline):
    """Read branch, tag and revision out of a delivery's pipeline."""
    vcs, git = pipeline.get("vcs"), pipeline.get("trigger_parameters", {}).get("git", {})
    if vcs is not None:
        tag = vcs.get("tag")
        name, revision = vcs.get("branch") or tag, vcs["revision"]
    else:
        tag = git["ref"].removeprefix("refs/tags/") if git["ref"].startswith("refs/tags/") else None
        name, revision = git["branch"] or tag, git["checkout_sha"]
    return {
        "vcs.ref.head.name": name,
        "vcs.ref.head.type": "tag" if tag else "branch",
        "vcs.ref.head.revision": revision,
    }


def test_webhooks_tell_what_the_truth_says_they_can(world, truth):
    """Every delivery has a line, every knowable name is in the delivery, with that value."""
    twin_world = World(world.options)
    told = Counter()
    for _, done in twin_world.take_events(NOW + 4 * DAY):
        said = loads(body(twin_world, done))
        line = truth[twin_world.id_of(done)]
        kind = "job" if kind_of(done) == "job-completed" else "workflow"
        told[kind] += 1
        run, own = said["workflow"], said[kind]
        values = {
            "cicd.pipeline.name": run["name"],
            "cicd.pipeline.run.id": run["id"],
            "cicd.pipeline.run.url.full": run["url"],
            "circleci.status": own["status"],
            "headgate.status": STATUS_WORDS[own["status"]],
            "circleci.pipeline.id": said["pipeline"]["id"],
            "circleci.pipeline.number": said["pipeline"]["number"],
            "circleci.trigger.type": said["pipeline"]["trigger"]["type"],
            "circleci.stopped_at": own["stopped_at"],
            **ref_of(said["pipeline"]),
        }
        start = own["started_at" if kind == "job" else "created_at"]
        values["circleci.duration_ms"] = parse(own["stopped_at"]) - parse(start)
        if kind == "job":
            values |= {
                "circleci.started_at": start,
                "circleci.job.number": own["number"],
                "cicd.pipeline.task.name": own["name"],
                "cicd.pipeline.task.run.id": own["id"],
                "cicd.pipeline.task.run.url.full": f"{run['url']}/jobs/{own['number']}",
            }
        else:
            values["circleci.created_at"] = start
        assert set(line["knowable"]["webhook"]) <= {*values, "vcs.repository.url.full"}
        agree(line, "webhook", values)
    assert told["job"] == sum(line["kind"] == "job" and bool(line["knowable"]["webhook"]) for line in truth.values())
    assert told["workflow"] > 50


def test_v2_and_v11_tell_what_the_truth_says_they_can():
    """Lists, details and builds of one project: same ids, same values, v2 floored to seconds."""
    with Twin(Options(now_ms=NOW, seed=5, days=4, projects=1, runs_per_day=12, knobs=KNOBS)) as twin:
        truth = {line["provider_id"]: line for line in twin.truth()}
        seen, builds, token = set(), {}, None
        while True:
            page = twin.get("/api/v2/project/gh/acme/web/pipeline", **({"page-token": token} if token else {}))
            for pipeline in page["items"]:
                for run in twin.get(f"/api/v2/pipeline/{pipeline['id']}/workflow")["items"]:
                    seen |= check_v2(twin, truth, pipeline, run)
            token = page["next_page_token"]
            if token is None:
                break
        assert truth.keys() == seen
        while page := twin.get("/api/v1.1/project/gh/acme/web", limit=100, offset=len(builds)):
            builds |= {row["workflows"]["job_id"]: row for row in page}
        for job_id, row in builds.items():
            if row["lifecycle"] == "finished":
                check_v11(twin, truth[job_id], row)
        listed = {key for key, line in truth.items() if line["knowable"]["v1.1"]}
        assert listed == {key for key, row in builds.items() if row["lifecycle"] == "finished"}


def floored(final, *names):
    """Give times of the truth as v2 writes them."""
    return {name: final[name][:19] + "Z" for name in names if name in final}


def check_v2(twin, truth, pipeline, run):
    """Compare a workflow and its jobs; give the finished ids."""
    done = set()
    if run["id"] in truth:
        done.add(run["id"])
        final = truth[run["id"]]["final"]
        assert run["status"] == final["circleci.status"]
        said = {TIMES["created"]: run["created_at"], TIMES["stopped"]: run["stopped_at"]}
        assert floored(final, *said) == said
        name = final["vcs.ref.head.name"]
        assert name == (pipeline["vcs"].get("branch") or pipeline["vcs"]["tag"])
        assert final["vcs.ref.head.revision"] == pipeline["vcs"]["revision"]
        assert final["circleci.trigger.type"] == pipeline["trigger"]["type"]
    for job in twin.get(f"/api/v2/workflow/{run['id']}/job")["items"]:
        if job["id"] not in truth:
            continue
        done.add(job["id"])
        line = truth[job["id"]]
        agree(line, "v2", {
            "cicd.pipeline.run.id": run["id"],
            "cicd.pipeline.task.name": job["name"],
            "circleci.status": job["status"],
            "circleci.job.type": job["type"],
            "circleci.job.number": job.get("job_number"),
        })  # fmt: skip
        said = {TIMES[key]: job[f"{key}_at"] for key in ("started", "stopped") if job[f"{key}_at"]}
        assert floored(line["final"], TIMES["started"], TIMES["stopped"]) == said
    return done


def check_v11(twin, line, row):
    """Compare a build of a list, and of one in ten the details."""
    said = {
        "cicd.pipeline.name": row["workflows"]["workflow_name"],
        "cicd.pipeline.run.id": row["workflows"]["workflow_id"],
        "cicd.pipeline.task.name": row["workflows"]["job_name"],
        "cicd.pipeline.task.run.id": row["workflows"]["job_id"],
        "circleci.status": row["status"],
        "headgate.status": STATUS_WORDS["success" if row["status"] == "fixed" else row["status"]],
        "circleci.job.number": row["build_num"],
        "circleci.queued_at": row["usage_queued_at"],
        "circleci.parallelism": row["parallel"],
        "vcs.ref.head.name": row["branch"] or row["vcs_tag"],
        "vcs.ref.head.type": "branch" if row["branch"] else "tag",
        "vcs.ref.head.revision": row["vcs_revision"],
        "vcs.repository.url.full": row["vcs_url"],
        "circleci.stopped_at": row["stop_time"],
    }
    if row["start_time"]:
        said |= {
            "circleci.started_at": row["start_time"],
            "circleci.duration_ms": row["build_time_millis"],
            "circleci.queue_ms": parse(row["start_time"]) - parse(row["usage_queued_at"]),
        }
    assert set(line["knowable"]["v1.1"]) <= said.keys()
    agree(line, "v1.1", said)
    if row["build_num"] % 10 == 0 and row["start_time"]:
        detail = twin.get(f"/api/v2/project/gh/acme/web/job/{row['build_num']}")
        machine = {
            "circleci.queued_at": detail["queued_at"],
            "circleci.queue_ms": said["circleci.queue_ms"],
            "circleci.resource_class": detail["executor"]["resource_class"],
            "circleci.executor": detail["executor"]["type"],
            "circleci.parallelism": detail["parallelism"],
        }
        assert {name: line["final"][name] for name in line["knowable"]["v2.detail"]} == machine
        picard = twin.get(f"/api/v1.1/project/gh/acme/web/{row['build_num']}")["picard"]
        assert line["final"]["circleci.resource_class"] == picard["resource_class"]["class"]


def test_since_leaves_out_what_ended_before(world, truth):
    """Lines whose end is at or after the moment."""
    late = {loads(line)["provider_id"] for line in lines(world, NOW)}
    ended = {key for key, line in truth.items() if parse(line["final"].get(TIMES["stopped"], "1970-01-01")) >= NOW}
    assert ended <= late < truth.keys()


def test_reruns_name_what_they_repeat(truth):
    """Workflow and job of the earlier attempt, also days later."""
    again = [line for line in truth.values() if line["rerun_of"]]
    assert {"workflow", "job"} == {line["kind"] for line in again}
    for line in again:
        old = truth[line["rerun_of"]]
        key = "cicd.pipeline.name" if line["kind"] == "workflow" else "cicd.pipeline.task.name"
        assert old["final"][key] == line["final"][key]
        assert old["final"]["circleci.pipeline.id"] == line["final"]["circleci.pipeline.id"]


def test_credits_of_a_workflow_are_those_of_its_jobs(truth):
    """And only of those that ran in it."""
    jobs = Counter()
    for line in truth.values():
        if line["kind"] == "job":
            jobs[line["final"]["cicd.pipeline.run.id"]] += line["credits"]
    for key, line in truth.items():
        if line["kind"] == "workflow":
            assert jobs[key] == line["credits"]
    assert jobs.total() > 0
