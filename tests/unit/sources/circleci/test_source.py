"""The source against the twin: what a walk finds is what happened."""

import asyncio
import socket

import httpx
import pytest
import respx
from structlog.testing import capture_logs
from tests.unit.collect.fakes import Recorder

from headgate.core.clock import SystemClock
from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.merge import EMPTY, merge
from headgate.core.ports import BuildContext, Delivery, JobRef, RunRef, Scope
from headgate.core.render import job_attributes, workflow_attributes
from headgate.core.times import DAY_MS, format_ms, parse_ms
from headgate.plugins import build_plugin, load_plugins
from headgate.sources.circleci import CircleCIConfig
from headgate.testing.circleci import Twin

WIDE = {"per_second": 100_000, "burst": 10_000}


@pytest.fixture(scope="module")
def twin():
    """Three days of two projects."""
    with Twin(seed=5, days=3, projects=2, runs_per_day=14) as running:
        yield running


@pytest.fixture
async def make(twin):
    """Builds sources that talk to the twin, and closes them."""
    made = []

    def build(**fields):
        settings = {"token": twin.token, "base_url": twin.base_url, "orgs": twin.about()["orgs"], "budget": WIDE}
        config = CircleCIConfig.model_validate(settings | {"poll": {"initial": "4d"}} | fields)
        metrics = Recorder()
        plugin = load_plugins().find("source", "circleci")
        source = build_plugin(plugin, "ci", config, BuildContext(SystemClock(), metrics, "headgate/test"))
        source.metrics = metrics
        made.append(source)
        return source

    yield build
    twin.clear_faults()
    for source in made:
        await source.aclose()


def _merge_into(known, observations):
    for found in observations:
        at = (found.kind, found.key)
        known[at] = merge(known.get(at, EMPTY), found)


async def _collect(source):
    known, projects = {}, {}
    for scope in await source.scopes():
        async for page in source.walk(scope, after=None, since_ms=0, below=True):
            _merge_into(known, page.observations)
            projects |= {(found.kind, found.key): found.project for found in page.observations}
    return known, projects


_HISTORY = {}


async def _history(make):
    """What a whole walk knows, walked once for all tests that only read it; the dicts are the caller's own."""
    if not _HISTORY:
        _HISTORY["known"], _HISTORY["projects"] = await _collect(make())
    return dict(_HISTORY["known"]), dict(_HISTORY["projects"])


def _attributes(line, known, projects):
    at = line["kind"], line["provider_id"]
    fact, project = known[at], projects[at]
    pipeline = known.get(("pipeline", fact.values.get("pipeline_id")))
    if line["kind"] == "workflow":
        return workflow_attributes(at[1], fact, project, pipeline)
    run = known.get(("workflow", fact.values.get("workflow_id")))
    return job_attributes(at[1], fact, project, run, pipeline)


def _floored(name, value):
    """Lists of v2 cut times to whole seconds."""
    at = parse_ms(value) if isinstance(value, str) and name.endswith("_at") else None
    return value if at is None else format_ms(at // 1000 * 1000)


def _differences(line, found, names):
    lengths = ("circleci.duration_ms", "circleci.queue_ms", "circleci.approval_wait_ms")
    for name in names:
        expected, got = line["final"][name], found.get(name)
        if name in lengths and got is not None:
            if abs(expected - got) >= 1000:
                yield line["provider_id"], name, expected, got
        elif name not in {"cicd.pipeline.run.url.full", "cicd.pipeline.task.run.url.full"}:
            if _floored(name, expected) != _floored(name, got):
                yield line["provider_id"], name, expected, got
        elif (got or "").partition("/pipelines/")[2] != expected.partition("/pipelines/")[2]:
            yield line["provider_id"], name, expected, got


async def test_walk_finds_everything_that_happened(make, twin):
    """Every finished workflow and job, and every value that v2 can know, equals the truth."""
    known, projects = await _history(make)
    truth = list(twin.truth())
    ended = {at for at, fact in known.items() if fact.terminal and at[0] != "pipeline"}
    assert {(line["kind"], line["provider_id"]) for line in truth} == ended
    wrong = [
        one for line in truth for one in _differences(line, _attributes(line, known, projects), line["knowable"]["v2"])
    ]
    assert wrong == []


async def test_walk_survives_every_fault(make, twin):
    """429, 5xx, cut bodies, all at once: the same facts, nothing half merged."""
    clean, _ = await _history(make)
    twin.put_faults({"server_error": {"rate": 0.02}, "cut_body": {"rate": 0.02}})
    source = make()
    source._api._sleep = lambda _: asyncio.sleep(0)
    faulty, _ = await _collect(source)
    assert clean.keys() == faulty.keys()
    assert {at: fact.values for at, fact in clean.items()} == {at: fact.values for at, fact in faulty.items()}
    calls = source.metrics.counts
    assert any(key[0] == "headgate_source_calls_total" and "500" <= key[3] < "600" for key in calls)


async def test_walk_stops_at_its_cursor(make):
    """A second walk gives one page without anything new; its calls are one per project."""
    source = make()
    scope = (await source.scopes())[0]
    first = [page async for page in source.walk(scope, after=None, since_ms=0, below=True)]
    high = max(page.high for page in first if page.high)
    assert [False] * (len(first) - 1) + [True] == [page.last for page in first]
    before = source.usage().calls
    (again,) = [page async for page in source.walk(scope, after=high, since_ms=0, below=True)]
    assert (again.last, again.high, list(again.observations), source.usage().calls - before) == (True, None, [], 1)
    (some,) = [page async for page in source.walk(scope, after=high - 3, since_ms=0, below=True)]
    assert {high, high - 1, high - 2} == {one.fields["number"] for one in some.observations if one.kind == "pipeline"}


async def test_walk_stops_at_its_look_back(make):
    """Nothing that began before `since_ms` is given."""
    source = make()
    scope = (await source.scopes())[0]
    since = source.now_ms() - DAY_MS
    pages = [page async for page in source.walk(scope, after=None, since_ms=since, below=True)]
    created = [one.fields["created_at"] for page in pages for one in page.observations if one.kind == "pipeline"]
    assert created
    assert min(created) >= since
    assert pages[-1].last


async def test_walk_that_is_capped_is_loud(make):
    """A walk cut by the page cap says so, in the page, the log and a metric."""
    source = make(poll={"initial": "4d", "max_pages": 1})
    scope = (await source.scopes())[0]
    with capture_logs() as logs:
        (page,) = [page async for page in source.walk(scope, after=None, since_ms=0, below=True)]
    assert (page.last, page.capped) == (False, True)
    assert [line["event"] for line in logs] == ["walk_capped"]
    assert source.metrics.counts["headgate_walk_pages_capped_total", "ci"] == 1


async def test_repeated_page_token_ends_the_walk_with_an_error(make):
    """A list without an end is never taken for a complete one; it has three pages at any hour of the week."""
    with Twin(seed=5, days=7, projects=1, runs_per_day=30) as busy:
        source = make(token=busy.token, base_url=busy.base_url, orgs=busy.about()["orgs"])
        scope = (await source.scopes())[0]
        busy.put_faults({"repeated_page_token": {"rate": 1.0}})
        with pytest.raises(SourceUnavailable, match="page token"):
            [page async for page in source.walk(scope, after=None, since_ms=0, below=True)]


async def test_revisit_finds_all_runs_of_a_pipeline(make, twin):
    """By pipeline all its workflows with their jobs, by workflow alone the same workflow with its pipeline's facts."""
    source = make()
    known, projects = await _history(make)
    rerun = next(line for line in twin.truth() if line["kind"] == "workflow" and line["rerun_of"])
    at = ("workflow", rerun["provider_id"])
    fact, project = known[at], projects[at]
    pipeline_id = fact.values["pipeline_id"]
    found = await source.revisit(RunRef(project.slug, project.project_id, pipeline_id, at[1], 0))
    runs = {one.key for one in found if one.kind == "workflow"}
    assert {rerun["provider_id"], rerun["rerun_of"]} <= runs
    alone = await source.revisit(RunRef(project.slug, project.project_id, None, at[1], 0))
    again = {}
    _merge_into(again, alone)
    for name, value in fact.values.items():
        assert (name, again[at].values[name]) == (name, value)
    with pytest.raises(NotFound):
        await source.revisit(RunRef(project.slug, project.project_id, "00000000-0000-4000-8000-000000000000", None, 0))
    with pytest.raises(NotFound):
        await source.revisit(RunRef(project.slug, project.project_id, None, None, 0))


def _jobs(known, projects):
    return sorted(
        (
            JobRef(projects[at].slug, projects[at].project_id, at[1], fact.values["number"])
            for at, fact in known.items()
            if at[0] == "job" and fact.terminal and "number" in fact.values
        ),
        key=lambda one: -one.number,
    )


async def test_recent_builds_bring_queue_times(make, twin):
    """One call tells the queue times of the newest jobs; older ones are gone, and asking for them costs nothing."""
    source = make()
    known, projects = await _history(make)
    scope = (await source.scopes())[0]
    jobs = [one for one in _jobs(known, projects) if one.project_key == scope.key]
    before = source.usage().calls
    enrichment = await source.enrich_recent(scope, jobs)
    assert source.usage().calls - before == 1
    told = {one.key for one in enrichment.observations if one.kind == "job"}
    assert (len(told), len(enrichment.gone)) == (100, len(jobs) - 100)
    assert all(one.enriches and one.source == "v1.1" for one in enrichment.observations)
    _merge_into(known, enrichment.observations)
    lines = [line for line in twin.truth() if line["provider_id"] in told]
    wrong = [
        one
        for line in lines
        for one in _differences(line, _attributes(line, known, projects), line["knowable"]["v1.1"])
    ]
    assert wrong == []
    again = await source.enrich_recent(scope, jobs[150:])
    assert (len(again.gone), again.reason, source.usage().calls - before) == (len(jobs) - 150, "beyond_page", 1)


async def test_recent_builds_older_than_asked_for_are_left_out(make, twin):
    """Collection does not reach back by the way."""
    source = make(orgs=[], projects={"include": [twin.about()["projects"][0]]}, poll={"initial": "1s"})
    known, projects = await _history(make)
    scope = (await source.scopes())[0]
    jobs = [one for one in _jobs(known, projects) if one.project_key == scope.key][:3]
    enrichment = await source.enrich_recent(scope, jobs)
    assert {one.number for one in jobs} == {
        one.fields["number"] for one in enrichment.observations if one.kind == "job"
    }


async def test_recent_builds_within_a_first_walks_reach_are_told_unasked(make):
    """A page tells of all builds that a first walk might have found, also after a restart."""
    source = make()
    known, projects = await _history(make)
    scope = (await source.scopes())[0]
    jobs = [one for one in _jobs(known, projects) if one.project_key == scope.key][:3]
    enrichment = await source.enrich_recent(scope, jobs)
    assert len({one.key for one in enrichment.observations if one.kind == "job"}) == 100


async def test_builds_that_are_new_since_the_last_page_are_told_unasked(make):
    """A rerun whose webhooks were all lost is older than the next job asked about, and is found all the same."""
    source = make(token="t", orgs=[], base_url="http://ci.test", projects={"include": ["gh/a/b"]})
    scope = Scope("p", "gh/a/b")

    def rows(*numbers):
        ids = {"workflow_id": "410c427b-40a8-4bb4-9d42-5561f5bce5ba"}
        return [
            {"build_num": number, "workflows": ids | {"job_id": f"410c427b-40a8-4bb4-9d42-{number:012d}"}}
            for number in numbers
        ]

    with respx.mock(base_url="http://ci.test/api/v1.1") as web:
        route = web.get("/project/gh/a/b")
        route.side_effect = [httpx.Response(200, json=rows(7, 6, 5)), httpx.Response(200, json=rows(10, 9, 8, 7, 6))]
        first = await source.enrich_recent(scope, [JobRef("gh/a/b", "p", "j7", 7)])
        second = await source.enrich_recent(scope, [JobRef("gh/a/b", "p", "j10", 10)])
    told = [[one.fields["number"] for one in page.observations if one.kind == "job"] for page in (first, second)]
    assert told == [[7], [10, 9, 8]]


async def test_detail_of_a_job(make, twin):
    """Profile `each` learns machine and queue time; a job that is gone says so."""
    source = make(enrich="each")
    known, projects = await _history(make)
    one = _jobs(known, projects)[0]
    enrichment = await source.enrich_job(one)
    _merge_into(known, enrichment.observations)
    line = next(line for line in twin.truth() if line["provider_id"] == one.job_id)
    assert line["knowable"]["v2.detail"]
    assert list(_differences(line, _attributes(line, known, projects), line["knowable"]["v2.detail"])) == []
    assert enrichment.observations[0].enriches
    gone = await source.enrich_job(JobRef(one.project_slug, one.project_key, "k", 999_999))
    assert (list(gone.observations), gone.gone, gone.reason) == ([], ("k",), "retention")


async def test_scopes_by_glob_and_name(make, twin):
    """Globs filter what organisations show, names are asked for, exclusion wins, and nothing is listed twice."""
    slugs = sorted(twin.about()["projects"])
    assert slugs == [scope.slug for scope in await make().scopes()]
    one = make(orgs=[], projects={"include": [slugs[0], slugs[0].replace("gh/", "github/")]})
    assert [slugs[0]] == [scope.slug for scope in await one.scopes()]
    assert [slugs[1]] == [scope.slug for scope in await make(projects={"exclude": [slugs[0]]}).scopes()]
    assert await make(projects={"include": ["gh/nobody/*"]}).scopes() == []
    source = make()
    await source.scopes()
    before = source.usage().calls
    await source.scopes()
    assert source.usage().calls == before


async def test_one_missing_project_does_not_hide_the_others(make, twin):
    """A project that is not there is warned about; a source that has nothing at all refuses."""
    slugs = twin.about()["projects"]
    with capture_logs() as logs:
        found = await make(orgs=[], projects={"include": [slugs[0], "gh/acme/none"]}).scopes()
    assert ([slugs[0]], ["project_refused"]) == ([scope.slug for scope in found], [line["event"] for line in logs])


async def test_check_names_what_is_wrong(make):
    """One line per thing, each with its reason; a dead token ends the list."""
    good = await make(projects={"include": ["*", "gh/acme/none"]}).check()
    assert [(line.reason, line.ok) for line in good] == [
        ("webhooks_off", True),
        ("ok", True),
        ("ok", True),
        ("project_not_found", False),
    ]
    dead = await make(token="wrong").check()
    assert [(line.reason, line.ok) for line in dead] == [("webhooks_off", True), ("token_expired", False)]
    assert "token" in dead[1].fix
    other = await make(orgs=["gh/strangers"]).check()
    assert (other[2].reason, "gh/acme" in other[2].fix) == ("no_access", True)
    unsigned = make(token=None, orgs=[], allow_unsigned=True)
    assert [line.reason for line in await unsigned.check()] == ["unsigned_allowed"]


async def test_check_does_not_try_for_long(make):
    """Where nobody answers, somebody waits for the word: one more try is made, not all that a daemon makes."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        _, alone = await make(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}").check()
    assert alone.reason == "unreachable"
    assert alone.fix.endswith("2 attempts")


async def test_check_tells_bad_tokens_apart(make):
    """A project token and a user without rights are told apart where only organisations are configured."""
    project = await make(token="project-1").check()
    assert [(line.reason, line.ok) for line in project] == [("webhooks_off", True), ("wrong_token_type", False)]
    stranger = await make(token="noaccess-1").check()
    assert [(line.reason, line.ok) for line in stranger][:2] == [("webhooks_off", True), ("ok", True)]
    assert {(line.reason, line.ok) for line in stranger[2:]} == {("no_access", False)}


async def test_walk_names_a_project_token(make):
    """The log of a running daemon says so too, without any project in the configuration."""
    with pytest.raises(SourceRefused) as error:
        await make(token="project-1").scopes()
    assert error.value.reason == "wrong_token_type"


async def test_dead_token_refuses_everything(make):
    """The walk says token_expired and so does the source's figure."""
    source = make(token="wrong")
    with pytest.raises(SourceRefused) as error:
        await source.scopes()
    assert (error.value.reason, source.usage().refused) == ("token_expired", "token_expired")


async def test_clock_is_the_far_sides(make, twin):
    """The twin stands at its last full hour; the source's clock follows its Date header."""
    source = make()
    await source.scopes()
    assert abs(source.now_ms() - parse_ms(twin.about()["now"])) <= 2000


async def test_deliveries_are_read_and_unknown_words_counted(make):
    """A type or status of the future is kept, counted, and no error."""
    source = make(token=None, orgs=[], webhook={"secrets": ["s"]})
    body = (
        b'{"type": "workflow-completed", "project": {"slug": "gh/a/b"}, "workflow": '
        b'{"id": "410c427b-40a8-4bb4-9d42-5561f5bce5ba", "status": "exploded"}}'
    )
    (run,) = source.normalize(Delivery("ci", 7, "workflow-completed", "application/json", body))
    assert (run.fields, run.observed_ms, run.terminal) == ({"status": "exploded"}, 7, True)
    assert source.normalize(Delivery("ci", 7, "x", "application/json", b'{"type": "pipeline-started"}')) == []
    counts = source.metrics.counts
    assert counts["headgate_unknown_words_total", "ci", "status"] == 1
    assert counts["headgate_unknown_words_total", "ci", "event_type"] == 1
    assert (await source.scopes(), source.usage().budget_left, source.webhook.refuse({}, b"").status) == ((), None, 415)


async def test_jobs_past_retention_leave_their_workflow(make):
    """404 on a workflow's jobs or a pipeline's workflows is counted, not an error."""
    source = make(token="t", orgs=[], base_url="http://ci.test", projects={"include": ["gh/a/b"]})
    run = "410c427b-40a8-4bb4-9d42-5561f5bce5ba"
    with respx.mock(base_url="http://ci.test/api/v2") as web:
        pipelines = [{"id": one, "number": number} for number, one in ((2, run), (1, run.replace("4", "5")))]
        web.get("/project/gh/a/b/pipeline").mock(httpx.Response(200, json={"items": pipelines}))
        listed = {"items": [{"id": run, "status": "success"}, {"id": "nonsense"}, None]}
        web.get(f"/pipeline/{run}/workflow").mock(httpx.Response(200, json=listed))
        web.get(url__regex=r".*/pipeline/5.*").mock(httpx.Response(404))
        web.get(f"/workflow/{run}/job").mock(httpx.Response(404))
        (page,) = [page async for page in source.walk(Scope("p", "gh/a/b"), after=None, since_ms=0, below=True)]
    assert [one.kind for one in page.observations] == ["pipeline", "workflow", "pipeline"]
    assert source.metrics.counts["headgate_source_missing_detail_total", "ci", "retention"] == 1
