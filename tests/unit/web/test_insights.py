"""The insights part of the API: answers match their schema, problems say what is valid, tags and packing work."""

import asyncio
import gzip
import json
import shutil

import httpx
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.insights.alarms import FINGERPRINT, fired
from tests.unit.insights.world import NOW, World, keep, key, result, sqlite

from headgate.core.errors import StoreError
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.views.lens import Lens
from headgate.web.document import Api
from headgate.web.insights import add_insights

WORLD = World(80)
RUN = "00000000-0000-4000-8000-000100000003"
ASKED = {
    "/insights/overview": {},
    "/insights/projects": {},
    "/insights/project": {"project": "gh/acme/web"},
    "/insights/workflow": {"project": "gh/acme/web", "workflow": "build"},
    "/insights/job": {"project": "gh/acme/web", "workflow": "build", "job": "test"},
    "/insights/runs": {"project": "gh/acme/web"},
    "/insights/run": {"run": RUN},
    "/insights/tests": {},
    "/insights/credits": {},
    "/insights/rightsizing": {},
    "/insights/failures": {},
    "/insights/charges": {},
    "/insights/budgets": {},
    "/insights/reruns": {},
    "/insights/test": {"project": WORLD.jobs[0]["run"]["project"], "test": key(5, 0), "window": "30d"},
    "/insights/alert/{fingerprint}": {},
    "/insights/now": {},
    "/insights/builds": {},
    "/insights/project-builds": {"project": "gh/acme/web", "branch": "fix/a"},
    "/insights/dora": {},
    "/metrics": {},
    "/series": {"metric": "runs", "by": ["project"]},
    "/query": {"metric": "duration_p95", "by": ["project", "branch_class"], "step": "1d"},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Beside the runs of a made-up world, a project whose names are hostile."""
    for run in WORLD.runs[:9]:
        run |= {"workflow": "<b>\u202e" + "x" * 300, "branch": "a&b,c=\"d'"}
    return keep(tmp_path_factory.mktemp("world"), WORLD, result(WORLD, 1), result(WORLD, 2, "pass"))


class Bench:
    """The routes over a store, in an event loop of its own so that a property test can ask."""

    def __init__(self, kept, folder):
        shutil.copy(kept, folder)
        self.loop = asyncio.new_event_loop()
        self.store = sqlite(folder)
        self.app = Api(title="Headgate", version="0")
        add_insights(self.app, lambda: Lens(self.store, NOW))
        self.loop.run_until_complete(self.store.open())
        self.loop.run_until_complete(self.store.transition(fired()))
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://x/api/v1")
        self.document = self.app.openapi()

    def get(self, path, params=None, **headers):
        path = path.format(fingerprint=FINGERPRINT)
        return self.loop.run_until_complete(self.http.get(path, params=params, headers=headers))

    def close(self):
        self.loop.run_until_complete(self.http.aclose())
        self.loop.run_until_complete(self.store.close())
        self.loop.close()

    def check(self, path, answer):
        """The answer is one that the document promises for this path."""
        path = "/insights/alert/{fingerprint}" if path.startswith("/insights/alert/") else path
        promised = self.document["paths"]["/api/v1" + path]["get"]["responses"]
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
        kind = "application/json" if answer.status_code == 200 else "application/problem+json"
        assert answer.headers["content-type"] == kind
        known = promised[str(answer.status_code)]
        if "$ref" in known:
            known = self.document["components"]["responses"][known["$ref"].rpartition("/")[2]]
        schema = known["content"][kind]["schema"]
        jsonschema_rs.Draft202012Validator({**schema, "components": self.document["components"]}).validate(
            answer.json()
        )


@pytest.fixture(scope="module")
def bench(kept, tmp_path_factory):
    made = Bench(kept, tmp_path_factory.mktemp("bench"))
    yield made
    made.close()


@pytest.mark.parametrize(("path", "params"), ASKED.items(), ids=ASKED)
def test_every_answer_is_as_documented(bench, path, params):
    """Over a store with runs; every path of the document is asked here."""
    answer = bench.get(path, params)
    assert 200 == answer.status_code, answer.text
    bench.check(path, answer)
    assert {"/api/v1" + one for one in ASKED} == set(bench.document["paths"])


def test_the_document_is_openapi_3_1_and_names_every_model(bench):
    """Each parameter has a meaning or a closed set of values; each path says what it answers."""
    assert "3.1.0" == bench.document["openapi"]
    for path in bench.document["paths"].values():
        assert path["get"]["description"]
        assert "$ref" in path["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        codes = {"200", "304", "400", "401", "403", "429", "503"}
        assert codes == set(path["get"]["responses"]) - {"404", "414"}


# -- generated questions

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_LIKELY = {
    "since": ["7d", "30d", "2026-11-11", "2026-11-18T11:00:00+01:00", "0001-01-01", "9999-12-31"],
    "until": ["1h", "2026-11-17", "now", "9999-12-31T23:59:59Z"],
    "window": ["1h", "24h", "7d", "90d", "1100d", "1.5h", "0s"],
    "project": ["gh/acme/web", "gh/acme/web", "github/acme/api", "gh/beta/app", "gh/acme/none"],
    "workflow": ["build", "ship", "<b>\u202e" + "x" * 300],
    "job": ["test", "lint", "hold"],
    "branch": ["main", "fix/a", "a&b,c=\"d'", "@default"],
    "trigger": ["api", "webhook"],
    "org": ["gh/acme"],
    "metric": [*CATALOGUE.names],
    "by": ["project", "workflow", "job", "team", "branch", "step", "test", "environment"],
    "where": ["project=gh/acme/web", "project=~gh/.*", "org=gh/acme", "branch=@default", "job=~(", "team=", "x"],
    "run": [RUN],
    "cursor": ["WyJydW5zIixbMSwiYSJdXQ", "WyJwcm9qZWN0cyIsImEiXQ", "WyJxdWVyeSIsLTFd", "WyJ0ZXN0cyIsMV0", "e30"],
}


def mostly(likely, anything):
    """Nearly always something that can be meant, so that questions with many parameters are answered too."""
    return st.integers(0, 19).flatmap(lambda n: likely if n else anything)


def values(name, schema):
    """What may be written for one parameter: as its schema says, likely words, and anything."""
    if "anyOf" in schema:
        schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return mostly(st.sampled_from(schema["enum"]), _TEXT)
    if schema.get("type") == "integer":
        return mostly(st.integers(schema["minimum"], schema["maximum"]), st.integers())
    if schema.get("type") == "array":
        return st.lists(values(name, schema["items"]), max_size=2)
    return mostly(st.sampled_from(_LIKELY.get(name, ["x"])), _TEXT)


@st.composite
def questions(draw, document):
    """A path and parameters of it; now and then one that does not exist."""
    path = draw(st.sampled_from(sorted(document["paths"])))
    params = {}
    for one in document["paths"][path]["get"].get("parameters", ()):
        if one["required"] or draw(st.integers(0, 3)) == 0:
            params[one["name"]] = draw(values(one["name"], one["schema"]))
    if draw(st.integers(0, 29)) == 0:
        params[draw(_TEXT)] = draw(_TEXT)
    return path.removeprefix("/api/v1"), params


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_question_breaks_it(bench, data):
    """Whatever the parameters, the answer is one that the document promises, and never a failure of ours."""
    path, params = data.draw(questions(bench.document))
    bench.check(path, bench.get(path, params))


# -- problems


@pytest.mark.parametrize(
    ("path", "params", "status", "kind", "parameter", "valid"),
    [
        ("/insights/project", {"project": "gh/acme/wep"}, 404, "unknown-project", "project", "gh/acme/web"),
        ("/insights/runs", {"project": "gh/acme/api", "workflow": "bil"}, 404, "unknown-workflow", "workflow", "build"),
        ("/insights/job", ASKED["/insights/job"] | {"job": "tets"}, 404, "unknown-job", "job", "test"),
        ("/insights/run", {"run": "x"}, 404, "unknown-run", "run", None),
        ("/insights/alert/nope", {}, 404, "unknown-alert", "fingerprint", FINGERPRINT),
        ("/insights/overview", {"since": "soon"}, 400, "bad-time", "since", "2026-11-20"),
        ("/insights/overview", {"window": "x"}, 400, "bad-time", "window", "7d"),
        ("/insights/overview", {"since": "1d", "until": "2d"}, 400, "reversed-range", "since", None),
        ("/insights/overview", {"branch_class": "main"}, 400, "bad-parameter", "branch_class", "@default"),
        ("/insights/overview", {"projct": "x"}, 400, "bad-parameter", "projct", "window"),
        ("/insights/tests", {"branch": "main"}, 400, "bad-filter", "branch", "branch_class"),
        ("/insights/tests", {"trigger": "webhook"}, 400, "bad-filter", "trigger", "branch_class"),
        ("/insights/reruns", {"by": "job", "trigger": "webhook"}, 400, "bad-filter", "trigger", "team"),
        ("/insights/reruns", {"by": "job", "branch_class": "@default"}, 400, "bad-filter", "branch_class", "team"),
        ("/insights/charges", {"trigger": "webhook"}, 400, "bad-filter", "trigger", "org"),
        ("/insights/rightsizing", {"trigger": "webhook"}, 400, "bad-filter", "trigger", "team"),
        ("/insights/credits", {"by": "colour"}, 400, "bad-parameter", "by", "resource_class"),
        ("/insights/runs", {"project": "gh/acme/web", "cursor": "x"}, 400, "bad-cursor", "cursor", None),
        ("/insights/projects", {"limit": 0}, 400, "bad-parameter", "limit", None),
        ("/query", {"metric": "sucess_rate"}, 404, "unknown-metric", "metric", "success_rate"),
        ("/query", {"metric": "runs", "by": "job"}, 400, "bad-dimension", "by", "project"),
        ("/query", {"metric": "runs", "where": "job=x"}, 400, "bad-dimension", "where", "project"),
        ("/query", {"metric": "runs", "where": "main"}, 400, "bad-filter", "where", "branch!=main"),
        ("/query", {"metric": "runs", "where": "project=gh/a/b"}, 404, "unknown-project", "where", "gh/acme/web"),
        ("/query", {"metric": "mttr", "window": "90d", "step": "1d"}, 400, "bad-step", "step", "a longer step"),
        ("/query", {}, 400, "bad-parameter", "metric", None),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_valid(bench, path, params, status, kind, parameter, valid):  # noqa: PLR0917  # a table
    """RFC 9457: the kind, the parameter, and names or forms that can be written there."""
    answer = bench.get(path, params)
    told = answer.json()
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert (f"urn:headgate:problem:{kind}", status, parameter) == (told["type"], told["status"], told["parameter"])
    assert told["title"]
    assert told["detail"]
    assert valid is None or valid in told["valid"]
    bench.check(path, answer)


def test_a_store_that_fails_is_a_problem_too(bench, monkeypatch):
    """Not a page of ours that broke."""

    async def broken():
        raise StoreError("the store is closed")

    monkeypatch.setattr(bench.store, "projects", broken)
    answer = bench.get("/insights/overview")
    assert (503, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert "the store is closed" == answer.json()["detail"]


# -- tags, packing, pages


def test_an_answer_that_is_known_is_not_sent_again(bench):
    """By its tag, weak or strong or one of several; another question has another tag."""
    first = bench.get("/insights/overview")
    tag = first.headers["etag"]
    for sent in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = bench.get("/insights/overview", **{"if-none-match": sent})
        assert (304, b"", tag) == (again.status_code, again.content, again.headers["etag"])
    other = bench.get("/insights/overview", {"window": "2d"}, **{"if-none-match": tag})
    assert (200, True) == (other.status_code, other.headers["etag"] != tag)
    assert "private, no-cache" == first.headers["cache-control"]


def test_large_answers_are_packed_for_those_who_can_read_it(bench):
    """Equal to what others get; small ones are not worth it."""
    plain = bench.get("/insights/overview", **{"accept-encoding": "identity"})
    packed = bench.get("/insights/overview", **{"accept-encoding": "br, gzip"})
    assert (None, "gzip") == (plain.headers.get("content-encoding"), packed.headers.get("content-encoding"))
    assert plain.json() == packed.json()
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert len(gzip.compress(plain.content)) < len(plain.content)
    small = bench.get("/insights/tests", **{"accept-encoding": "gzip"})
    assert "content-encoding" not in small.headers


def test_lists_are_read_page_by_page(bench):
    """With `next` until it is null: every run once, newest first."""
    asked, found = {"project": "gh/acme/web", "limit": 3}, []
    while True:
        page = bench.get("/insights/runs", asked).json()
        found += page["runs"]
        if page["next"] is None:
            break
        asked["cursor"] = page["next"]
    whole = bench.get("/insights/runs", {"project": "gh/acme/web", "limit": 500}).json()["runs"]
    assert len(found) > 6
    assert whole == found
    ends = [one["stopped_at"] for one in found]
    assert sorted(ends, reverse=True) == ends


@pytest.mark.parametrize(
    ("path", "asked", "other"),
    [
        ("/insights/credits", {"by": "workflow"}, {"by": "branch"}),
        ("/insights/runs", {"project": "gh/acme/web"}, {"window": "30d"}),
        ("/insights/runs", {"project": "gh/acme/web"}, {"workflow": "build"}),
        ("/insights/projects", {}, {"window": "30d"}),
        ("/query", {"metric": "runs", "by": "workflow"}, {"metric": "failed_runs"}),
        ("/query", {"metric": "runs", "by": "workflow"}, {"where": "branch!=x"}),
    ],
)
def test_a_cursor_is_good_for_the_same_question_alone(bench, path, asked, other):
    """Whatever else is asked with it is refused, and told to begin again."""
    asked = {**asked, "limit": 1}
    asked["cursor"] = bench.get(path, asked).json()["next"]
    assert 200 == bench.get(path, asked).status_code
    refused = bench.get(path, asked | other)
    assert (400, "cursor") == (refused.status_code, refused.json()["parameter"])
    assert "another question: leave it out" in refused.json()["detail"]


def test_the_default_branch_is_a_class(bench):
    """By either way to write it, in figures and in lists of runs."""
    for path in ("/insights/overview", "/insights/runs", "/insights/project"):
        asked = ASKED[path]
        one, two = (
            bench.get(path, asked | more).json() for more in ({"branch": "@default"}, {"branch_class": "@default"})
        )
        assert one == two
    assert {"@default"} == {run["branch_class"] for run in two["last_builds"]}


def test_the_catalogue_is_all_there(bench):
    """Every metric by the name that questions use."""
    told = bench.get("/metrics").json()
    assert [*CATALOGUE.names] == [one["name"] for one in told["metrics"]]
    assert json.dumps(told["dimensions"])
