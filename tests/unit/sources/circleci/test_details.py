"""The details of jobs, asked of the twin over sockets, and of made-up answers where the twin is too kind."""

from collections import Counter
from pathlib import Path

import httpx
import pytest
import respx
from structlog.testing import capture_logs
from tests.unit.collect.fakes import Recorder
from tests.unit.sources.circleci.test_normalize_tests import a_job

from headgate.core.clock import SystemClock
from headgate.core.details import DetailSource
from headgate.core.errors import NotFound, SourceUnavailable
from headgate.core.ports import BuildContext
from headgate.plugins import build_plugin, load_plugins
from headgate.sources.circleci import CircleCIConfig
from headgate.sources.circleci.config_details import DetailsConfig, details_cost
from headgate.sources.circleci.details import PART
from headgate.testing.circleci import Knobs, Twin
from headgate.testing.circleci.api_output import LEAKED, SIGNATURE

WIDE = {"per_second": 100_000, "burst": 10_000}
ALL = {"tests": "all", "steps": "all", "output": "failed", "artifacts": "all", "junit": ["*.xml"]}
TESTS = "https://circleci.com/api/v2/project/gh/acme/web/8/tests"
ARTIFACTS = "https://circleci.com/api/v2/project/gh/acme/web/8/artifacts"
FILE = "https://output.circle-artifacts.com/output/job/x/artifacts/{}/junit.xml"
MISSING = "headgate_source_missing_detail_total"


@pytest.fixture(scope="module")
def twin():
    """Two days of eight projects, two of them of `circleci/<id>` organisations."""
    with Twin(seed=3, days=2, projects=8, runs_per_day=12) as running:
        yield running


@pytest.fixture
async def make():
    """Builds sources and closes them."""
    made = []

    def build(**fields):
        settings = {"token": "twin-token", "budget": WIDE, "details": ALL} | fields
        plugin, metrics = load_plugins().find("source", "circleci"), Recorder()
        config = CircleCIConfig.model_validate(settings)
        source = build_plugin(plugin, "ci", config, BuildContext(SystemClock(), metrics, "headgate/test"))
        source.metrics = metrics
        made.append(source)
        return source

    yield build
    for source in made:
        await source.aclose()


async def _ask(source, job, want):
    parts = [list(part) async for part in source.details(job, want)]
    assert all(len(part) <= PART for part in parts)
    return [one for part in parts for one in part]


def _jobs(twin, *, status=None):
    for line in twin.truth():
        final = line["final"]
        if line["kind"] == "job" and "circleci.duration_ms" in final and status in (None, final["circleci.status"]):
            yield (
                a_job(
                    line["provider_id"],
                    final["cicd.pipeline.task.name"],
                    number=final["circleci.job.number"],
                    status=final["headgate.status"],
                ),
                line["project"],
            )


def _of(job, slug):
    return type(job)(**{name: getattr(job, name) for name in job.__struct_fields__} | {"project_slug": slug})


def _asked(twin, path):
    return httpx.get(twin.base_url + path, headers={"circle-token": twin.token}).json()


async def test_results_are_those_that_circleci_lists(twin, make):
    """Of every job of every project, in organisations of every kind: name, class, result; and counted on the job."""
    source = make(base_url=twin.base_url)
    seen = set()
    for job, slug in _jobs(twin):
        if slug in seen:
            continue
        items = _asked(twin, f"/api/v2/project/{slug}/{job.number}/tests")["items"]
        if not items:
            continue
        seen.add(slug)
        *results, counts = await _ask(source, _of(job, slug), "tests")
        words = {"success": "pass", "failure": "fail", "skipped": "skip"}
        assert [(one.fields["name"], one.fields["class_name"], one.fields["result"]) for one in results] == [
            (item["name"], item["classname"], words[item["result"]]) for item in items
        ]
        assert counts.fields["tests"] == len(items)
        assert counts.fields["tests_failed"] == sum(item["result"] == "failure" for item in items)
    assert sum(slug.startswith("circleci/") for slug in seen) == 2
    assert len(seen) == 8


async def test_the_failing_step_is_told_with_the_end_of_its_output(twin, make):
    """Exit code, redacted tail, no address; the twin refuses an output that is asked for with a token."""
    source = make(base_url=twin.base_url)
    job, slug = next(_jobs(twin, status="failed"))
    found = await _ask(source, _of(job, slug), "steps")
    told = _asked(twin, f"/api/v1.1/project/{slug}/{job.number}")["steps"]
    assert [one.fields["name"] for one in found] == [step["name"] for step in told]
    assert [one.fields["status"] for one in found] == [step["actions"][0]["status"] for step in told]
    (failed,) = [one for one in found if one.fields["status"] == "failed"]
    assert failed.fields["exit_code"] == 1
    end = failed.fields["output_tail"]
    assert end.startswith("[... cut ...]\n")
    assert end.endswith(f"export GITHUB_TOKEN=***\nmake: *** [{job.name}] Error 1")
    assert len(end.encode()) <= 4096
    assert not any(LEAKED in str(one.fields) or SIGNATURE in str(one.fields) for one in found)
    assert [one for one in found if "output_tail" in one.fields] == [failed]


async def test_outputs_are_off_unless_wanted(twin, make):
    """Then nothing is fetched."""
    source = make(base_url=twin.base_url, details={"steps": "all"})
    job, slug = next(_jobs(twin, status="failed"))
    found = await _ask(source, _of(job, slug), "steps")
    assert not any("output_tail" in one.fields for one in found)


async def test_artifacts_are_addresses(twin, make):
    """Sorted, of the job, and counted; never their contents."""
    source = make(base_url=twin.base_url)
    for job, slug in _jobs(twin):
        items = _asked(twin, f"/api/v2/project/{slug}/{job.number}/artifacts")["items"]
        if items:
            break
    (found,) = await _ask(source, _of(job, slug), "artifacts")
    assert (found.kind, found.key) == ("job", job.job_id)
    assert found.fields == {"artifacts": sorted(item["url"] for item in items), "artifact_count": len(items)}


async def test_a_build_that_is_gone_is_not_found(twin, make):
    """The engine decides how often to ask again."""
    source = make(base_url=twin.base_url)
    _, slug = next(_jobs(twin))
    for want in ("tests", "steps", "artifacts"):
        with pytest.raises(NotFound):
            await _ask(source, _of(a_job(number=10_000_000), slug), want)


# -- made-up answers


def _item(name, **fields):
    return {"name": name, "classname": "c", "file": "f", "source": "s", "result": "success", "run_time": 1} | fields


def _pages(*pages):
    tokens = [*(f"t{number}" for number in range(1, len(pages))), None]
    return [
        httpx.Response(200, json={"items": list(items), "next_page_token": token})
        for items, token in zip(pages, tokens, strict=True)
    ]


@respx.mock
async def test_every_page_is_told(make):
    """In parts, with equal tests on two pages numbered through."""
    respx.get(TESTS).mock(side_effect=_pages([_item("a"), _item("b")], [_item("a")], []))
    *results, counts = await _ask(make(), a_job(), "tests")
    assert [one.fields["name"] for one in results] == ["a", "b", "a"]
    assert len({one.key for one in results}) == 3
    assert counts.fields["tests"] == 3


@respx.mock
async def test_the_captured_list_of_artifacts_is_empty(make):
    """Then the job says that it has none."""
    body = (Path(__file__).parents[3] / "data/circleci/api-v2/job-artifacts.json").read_bytes()
    respx.get(ARTIFACTS).respond(200, content=body)
    (found,) = await _ask(make(), a_job(), "artifacts")
    assert found.fields == {"artifact_count": 0}


@respx.mock
async def test_a_hundred_addresses_are_kept(make):
    """Of more, the number; what is behind a question mark may be a signature and goes."""
    items = [{"path": f"{n:03}", "node_index": 0, "url": f"https://x/{n:03}?sig=secret"} for n in range(250)]
    respx.get(ARTIFACTS).mock(side_effect=_pages(items[100:], items[:100]))
    (found,) = await _ask(make(), a_job(), "artifacts")
    assert found.fields["artifact_count"] == 250
    assert found.fields["artifacts"] == [f"https://x/{n:03}" for n in range(100)]


@respx.mock
async def test_junit_is_read_where_no_result_is_listed(make, monkeypatch):
    """From each artifact that the glob means; a bomb and a broken file are reported, and the rest goes on."""
    bodies = {
        0: b"<testsuite name='s'><testcase name='a[1]' classname='c'/></testsuite>",
        1: b"<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite><testcase name='&a;'/></testsuite>",
        2: b"<testsuite><testcase name='lost'/>",
        3: b"<testsuite name='s'><testcase name='a[1]' classname='c'><failure>no</failure></testcase></testsuite>",
        4: None,
    }
    items = [{"path": "r/junit.xml", "node_index": node, "url": FILE.format(node)} for node in bodies]
    items.append({"path": "log.txt", "node_index": 0, "url": "https://x/log.txt"})
    respx.get(TESTS).mock(side_effect=_pages([]))
    respx.get(ARTIFACTS).mock(side_effect=_pages(items))
    for node, body in bodies.items():
        respx.get(FILE.format(node).replace("output.circle-artifacts.com", "93.184.216.34")).respond(
            200 if body else 404, content=body or b""
        )
    source = make()

    async def public(host, port):
        return ["93.184.216.34"]

    monkeypatch.setattr("headgate.sources.circleci.ways._addresses", public)
    with capture_logs() as logs:
        *results, counts = await _ask(source, a_job(), "tests")
    assert [(one.fields["node"], one.fields["result"], one.source) for one in results] == [
        (0, "pass", "artifact"),
        (3, "fail", "artifact"),
    ]
    assert len({one.fields["test_id"] for one in results}) == 1
    assert len({one.key for one in results}) == 2
    assert counts.fields == {"tests": 2, "tests_failed": 1, "tests_skipped": 0}
    told = [(log["reason"], log["path"]) for log in logs if log["event"] == "junit_refused"]
    assert told == [("xml_declaration", "r/junit.xml"), ("xml_broken", "r/junit.xml"), ("expired", "r/junit.xml")]
    assert {key[2]: count for key, count in source.metrics.counts.items() if key[0] == MISSING} == {
        "junit_xml_declaration": 1,
        "junit_xml_broken": 1,
        "junit_expired": 1,
    }


@pytest.mark.parametrize(
    ("faults", "reasons"),
    [
        ({"junit_broken": {"count": 1}}, {"xml_broken"}),
        ({"junit_bomb": {"count": 1}}, {"xml_declaration"}),
        ({"junit_broken": {"count": 1}, "junit_bomb": {"count": 1}}, {"xml_broken", "xml_declaration"}),
    ],
    ids=["broken", "bomb", "both"],
)
async def test_junit_is_whole_but_for_the_files_that_are_not(make, faults, reasons):
    """Of one job after the other on the twin: every result of each good file once, of a bad one none, counted."""
    with Twin(seed=3, days=1, projects=1, runs_per_day=16, knobs=Knobs(test_lists=False)) as twin:
        truth = {one["job_id"]: one["results"] for one in twin.tests(twin.about()["projects"][0])}
        source = make(base_url=twin.base_url)
        twin.put_faults(faults)
        told = {}
        for job, slug in _jobs(twin):
            if job.job_id in truth:
                *results, _ = await _ask(source, _of(job, slug), "tests")
                told[job.job_id] = Counter((one.fields["name"], one.fields["result"]) for one in results)
    words = {"success": "pass", "failure": "fail", "skipped": "skip"}
    wanted = {key: Counter((one["name"], words[one["result"]]) for one in found) for key, found in truth.items()}
    assert len(told) > len(reasons)
    short = {key for key in told if told[key] != wanted[key]}
    assert 0 < len(short) <= len(reasons)
    assert all(told[key] < wanted[key] for key in short)
    missing = {key[2]: count for key, count in source.metrics.counts.items() if key[0] == MISSING}
    assert missing == {f"junit_{reason}": 1 for reason in reasons}


async def test_junit_is_not_read_where_results_are_listed(make):
    """No call is spent on artifacts."""
    with respx.mock(assert_all_called=False) as router:
        router.get(TESTS).mock(side_effect=_pages([_item("a")]))
        asked = router.get(ARTIFACTS)
        await _ask(make(), a_job(), "tests")
    assert not asked.called


@respx.mock
async def test_details_stand_behind_everything_live(make, monkeypatch):
    """Every call of theirs waits for the budget as history does."""
    respx.get(TESTS).mock(side_effect=_pages([_item("a")], [_item("b")]))
    respx.get(ARTIFACTS).mock(side_effect=_pages([]))
    respx.get("https://circleci.com/api/v1.1/project/gh/acme/web/8").respond(200, json={"steps": []})
    source, asked = make(), []

    async def acquire(waited, *, patient=False):
        asked.append(patient)

    monkeypatch.setattr(source._api._budget, "acquire", acquire)
    for want in source.wants(a_job()):
        await _ask(source, a_job(), want)
    assert asked == [True, True, True, True]


@respx.mock
async def test_a_build_that_is_no_object(make):
    """It is asked for again later."""
    respx.get("https://circleci.com/api/v1.1/project/gh/acme/web/8").respond(200, json=[])
    with pytest.raises(SourceUnavailable):
        await _ask(make(), a_job(), "steps")


@respx.mock
async def test_outputs_that_cannot_be_had_are_counted(make):
    """The step leaves without: no address, or one inside our network."""
    action = {"step": 1, "index": 0, "status": "failed", "has_output": True}
    steps = [
        {"name": "a", "actions": [action]},
        {"name": "b", "actions": [{**action, "step": 2, "output_url": "https://127.0.0.1/x?sig=1"}]},
    ]
    respx.get("https://circleci.com/api/v1.1/project/gh/acme/web/8").respond(200, json={"steps": steps})
    source = make()
    assert len(await _ask(source, a_job(), "steps")) == 2
    reasons = {key[2] for key in source.metrics.counts if key[0] == MISSING}
    assert reasons == {"output_none", "output_address"}


# -- what is asked, and what it costs


def _wants(source, **fields):
    return tuple(source.wants(a_job(**fields)))


def test_what_is_asked_is_what_is_switched_on(make):
    """Each switch by itself; `failed` means jobs that did not succeed; nothing about jobs that never ran."""
    assert isinstance(make(), DetailSource)
    assert _wants(make()) == ("tests", "steps", "artifacts")
    assert _wants(make(details={})) == ()
    failed = make(details={"tests": "failed", "steps": "failed"})
    assert (_wants(failed), _wants(failed, status="failure")) == ((), ("tests", "steps"))
    assert (_wants(failed, status="timeout"), _wants(failed, status="canceled")) == (("tests", "steps"), ())
    assert _wants(make(), status="skipped") == _wants(make(), number=None) == _wants(make(), started_ms=None) == ()
    assert (make(details={}).follows_jobs(), make().follows_jobs()) == (False, True)


def test_what_ended_long_ago_is_not_asked_about(make):
    """With `within`, of history only the newest part; a job whose end is not known counts as new."""
    now_ms = SystemClock().now_ms()
    source = make(details={"tests": "all", "within": "14d"})
    assert _wants(source, stopped_ms=now_ms - 13 * 86_400_000) == _wants(source, stopped_ms=None) == ("tests",)
    assert _wants(source, stopped_ms=now_ms - 15 * 86_400_000) == ()


def test_projects_of_others_are_theirs(make):
    """Two sources of one CircleCI ask each about its own projects."""
    assert _wants(make(orgs=["gh/acme"])) != ()
    assert _wants(make(orgs=["gh/other"])) == ()
    assert _wants(make(orgs=["gh/other"], projects={"include": ["gh/acme/web"]})) != ()
    assert _wants(make(projects={"exclude": ["gh/acme/*"]})) == ()


def test_without_a_token_nothing_is_asked(make):
    """Deployments by rule need none."""
    rule = [{"job": "deploy-*", "environment": "production"}]
    source = make(token=None, deployments=rule)
    assert (_wants(source), source.follows_jobs()) == ((), True)
    assert len(source.deployments(a_job(name="deploy-web"))) == 1
    assert not make(token=None).follows_jobs()


def test_deployments_by_rule(make):
    """By name of job and branch; the job's end says whether it succeeded; one for each environment."""
    rules = [
        {"job": "deploy-*", "branch": "main", "environment": "production"},
        {"job": "deploy-web", "environment": "eu", "name": "shop"},
        {"job": "deploy-w*", "branch": "main", "environment": "production"},
    ]
    source = make(deployments=rules)
    one, two = source.deployments(a_job(name="deploy-web"))
    assert one.fields == {
        "name": "web",
        "environment": "production",
        "status": "succeeded",
        "revision": "35edfe7",
        "started_at": 500,
        "stopped_at": 1_000,
        "workflow_id": "0ae884c6-d352-4f4d-9591-92902d6c78fe",
        "job_id": "49b34cdd-748a-48ae-b989-c879daa046bc",
        "origin": "rule",
        "url": "https://app.circleci.com/x/jobs/8",
    }
    assert (two.fields["name"], two.fields["environment"]) == ("shop", "eu")
    assert one.key != two.key
    assert [found.key for found in source.deployments(a_job(name="deploy-web"))] == [one.key, two.key]
    assert [found.fields["environment"] for found in source.deployments(a_job(name="deploy-web", ref_name="x"))] == [
        "eu"
    ]
    assert source.deployments(a_job(name="deploy-web", status="failure"))[0].fields["status"] == "failed"
    assert source.deployments(a_job(name="deploy-web", status="canceled")) == []
    assert source.deployments(a_job(name="test")) == []


def test_what_details_cost():
    """Calls for each job that ran, by kind; nothing by default."""
    assert details_cost(DetailsConfig()) == {}
    everything = DetailsConfig.model_validate(ALL)
    assert details_cost(everything) == {"tests": 1.0, "junit": 2.0, "steps": 1.0, "output": 0.1, "artifacts": 1.0}
    assert details_cost(DetailsConfig(tests="failed"), failed_share=0.25) == {"tests": 0.25}


def test_off_is_written_as_people_write_it():
    """YAML reads `off` as false."""
    assert DetailsConfig.model_validate({"tests": False, "output": False, "artifacts": False}) == DetailsConfig()
