"""Tokens with rights of their own: what each lacks, sees, and how long it lives."""

import httpx
import pytest

from headgate.testing.circleci import Options, Twin
from headgate.testing.circleci.__main__ import main, options_from, parser
from headgate.testing.circleci.http import Request
from headgate.testing.circleci.rights import Tokens
from headgate.testing.circleci.times import parse
from headgate.testing.circleci.world import World

NOW = "2026-11-20T12:00:00Z"
OPTIONS = Options(now_ms=parse(NOW), seed=7, days=2, projects=4, runs_per_day=6.0)
SPAN = {"start": "2026-11-19T00:00:00Z", "end": "2026-11-20T00:00:00Z"}
CLIENT = httpx.Client(trust_env=False)


@pytest.fixture(scope="module", autouse=True)
def _client():
    """Close the connections after the last test."""
    with CLIENT:
        yield


@pytest.fixture(scope="module")
def running():
    """Run a twin of four organizations."""
    with Twin(OPTIONS) as made:
        yield made


@pytest.fixture
def twin(running):
    """Give the twin, and take all grants back after the test."""
    yield running
    assert 204 == CLIENT.delete(f"{running.base_url}/_twin/rights").status_code


def ask(twin, token, path, method="GET", **how):
    """Ask as the holder of a token, without raising."""
    return CLIENT.request(method, twin.base_url + path, headers={"circle-token": token}, **how)


def status(twin, token, path, method="GET", **how):
    """Give the status of the answer."""
    return ask(twin, token, path, method, **how).status_code


def org_ids(twin):
    """Give the ids of the organizations by slug."""
    return {org["slug"]: org["id"] for org in twin.get("/api/v2/me/collaborations")}


def test_a_token_may_lack_the_usage_export(twin):
    """403 for it alone."""
    path = f"/api/v2/organizations/{org_ids(twin)['gh/acme']}/usage_export_job"
    twin.put_rights({"poor": {"lacks": ["usage_export"]}, "rich": {}})
    assert [403, 201] == [status(twin, token, path, "POST", json=SPAN) for token in ("poor", "rich")]
    assert 200 == status(twin, "poor", "/api/v2/project/gh/acme/web/pipeline")


@pytest.mark.parametrize(
    ("right", "path"),
    [
        ("insights", "/api/v2/insights/{project-slug}/workflows"),
        ("webhooks", "/api/v2/webhook"),
    ],
)
@pytest.mark.parametrize(("lacks", "expected"), [(list, 403), (lambda names: dict.fromkeys(names, 404), 404)])
def test_a_right_is_lacked_with_403_or_404(right, path, lacks, expected):
    """Whichever CircleCI answers with; the check needs no route behind it."""
    tokens = Tokens(World(OPTIONS))
    tokens.put({"poor": {"lacks": lacks([right])}, "rich": {}})
    request = Request("GET", path, {}, {})
    assert expected == tokens.refusal("poor", "v2", request, {}).status
    assert tokens.refusal("rich", "v2", request, {}) is None


def test_project_tokens_are_good_for_v11_alone_and_personal_ones_may_lack_it(twin):
    """The two kinds."""
    twin.put_rights({"p": {"kind": "project"}, "q": {"lacks": ["v1.1"]}})
    assert (403, 200) == (status(twin, "p", "/api/v2/me"), status(twin, "p", "/api/v1.1/project/gh/acme/web"))
    assert (200, 403) == (status(twin, "q", "/api/v2/me"), status(twin, "q", "/api/v1.1/project/gh/acme/web"))


def test_each_token_sees_its_own_organizations(twin):
    """In lists, by slug in any form, by any id, and in the projects of v1.1; by slug or id in the grant."""
    ids = org_ids(twin)
    twin.put_rights({"a": {"orgs": ["gh/acme"]}, "b": {"orgs": [ids["bb/acme"]]}, "none": {"orgs": []}})
    lists = [
        [org["slug"] for org in ask(twin, token, "/api/v2/me/collaborations").json()] for token in ("a", "b", "none")
    ]
    assert [["gh/acme"], ["bb/acme"], []] == lists
    followed = [project["vcs_url"] for project in ask(twin, "b", "/api/v1.1/projects").json()]
    assert ["https://bitbucket.org/acme/docs-site"] == followed
    assert followed == list(ask(twin, "b", "/api/v1.1/me").json()["projects"])
    pipeline = twin.get("/api/v2/project/gh/acme/web/pipeline")["items"][-1]["id"]
    run = twin.get(f"/api/v2/pipeline/{pipeline}/workflow")["items"][0]["id"]
    export = f"/api/v2/organizations/{ids['gh/acme']}/usage_export_job/{pipeline}"
    paths = (
        "/api/v2/project/gh/acme/web",
        "/api/v2/project/github/acme/web/pipeline",
        "/api/v2/project/gh/acme/web/job/1",
        f"/api/v2/pipeline/{pipeline}",
        f"/api/v2/pipeline/{pipeline}/workflow",
        f"/api/v2/workflow/{run}/job",
        "/api/v1.1/project/github/acme/web",
        "/api/v1.1/project/gh/acme/web/1",
    )
    for path in paths:
        assert [200, 404, 404] == [status(twin, token, path) for token in ("a", "b", "none")], path
    assert {"message": "Not found"} == ask(twin, "b", export).json()
    assert [200, 403] == [status(twin, token, "/api/v2/pipeline?org-slug=gh/acme") for token in ("a", "b")]


def test_shared_organizations_of_an_export_must_be_seen(twin):
    """A foreign one is refused as one that does not exist."""
    ids = org_ids(twin)
    twin.put_rights({"a": {"orgs": ["gh/acme"]}})
    path = f"/api/v2/organizations/{ids['gh/acme']}/usage_export_job"
    body = SPAN | {"shared_org_ids": [ids["bb/acme"]]}
    assert [400, 201] == [status(twin, token, path, "POST", json=body) for token in ("a", twin.token)]


def test_the_scope_of_a_webhook_names_its_organization():
    """In the query of the list and in the body of a new one."""
    world = World(OPTIONS)
    tokens = Tokens(world)
    tokens.put({"a": {"orgs": ["gh/acme"]}})
    for history in world.histories:
        project_id, org = history.project.id, history.project.org
        listed = Request("GET", "/api/v2/webhook", {"scope-id": [project_id]}, {})
        made = Request("POST", "/api/v2/webhook", {}, {}, b'{"scope": {"id": "%s"}}' % project_id.encode())
        for request in (listed, made):
            refused = tokens.refusal("a", "v2", request, {})
            assert (None if org.slug == "gh/acme" else 404) == (refused and refused.status)


def test_a_token_expires_on_the_clock_of_the_twin():
    """401 from that moment on."""
    with Twin(OPTIONS) as made:
        made.put_rights({"short": {"expires": "2026-11-20T12:30:00Z"}})
        assert 200 == status(made, "short", "/api/v2/me")
        made.advance(1800)
        assert 401 == status(made, "short", "/api/v2/me")


def test_one_token_can_be_revoked(twin):
    """401 for it alone, also for the twin's own, until the rights are reset."""
    twin.put_rights({"a": {}, "b": {}})
    twin.revoke("a")
    assert [401, 200, 200] == [status(twin, token, "/api/v2/me") for token in ("a", "b", twin.token)]
    twin.revoke(twin.token)
    assert [401, 200, 401] == [status(twin, token, "/api/v2/me") for token in ("a", "b", twin.token)]


def test_rights_are_told_as_they_were_put(twin):
    """With their defaults."""
    given = {"lacks": ["insights"], "rate_limit": 5, "expires": "2027-01-01T00:00:00.000Z"}
    twin.put_rights({"a": given, "b": {}})
    told = CLIENT.get(f"{twin.base_url}/_twin/rights").json()
    rest = {"kind": "personal", "orgs": None, "revoked": False}
    assert {
        "a": given | {"lacks": {"insights": 403}} | rest,
        "b": {"lacks": {}, "rate_limit": None, "expires": None} | rest,
    } == told


def test_tokens_have_limits_of_their_own():
    """One is slow, the others are not limited."""
    rights = {"slow": {"rate_limit": 2}, "other": {"rate_limit": 2}, "free": {}}
    with Twin(Options(now_ms=OPTIONS.now_ms, days=1, projects=1, rights=rights)) as made:
        answers = {token: [status(made, token, "/api/v2/me") for _ in range(4)] for token in rights}
    assert {"slow": [200, 200], "other": [200, 200], "free": [200, 200]} == {k: v[:2] for k, v in answers.items()}
    assert ([429], [429], [200]) == tuple(answers[token][3:] for token in rights)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "object"),
        ({"a": 1}, "object"),
        ({"a": {"right": "x"}}, "lacks"),
        ({"a": {"lacks": ["x"]}}, "usage_export"),
        ({"a": {"lacks": {"insights": 500}}}, "404"),
        ({"a": {"lacks": "insights"}}, "lacks"),
        ({"a": {"orgs": ["gh/strangers"]}}, "gh/strangers"),
        ({"a": {"kind": "odd"}}, "kind"),
        ({"a": {"rate_limit": 0}}, "rate_limit"),
        ({"a": {"expires": "never"}}, "never"),
    ],
)
def test_rights_nobody_knows_are_refused(twin, wanted, reason):
    """400 with the reason, and nothing changes."""
    twin.put_rights({"kept": {}})
    answer = CLIENT.put(f"{twin.base_url}/_twin/rights", json=wanted)
    assert 400 == answer.status_code
    assert reason in answer.json()["message"]
    assert ["kept"] == list(CLIENT.get(f"{twin.base_url}/_twin/rights").json())


def test_rights_come_from_the_command_line(capsys):
    """As JSON; what is wrong ends the start."""
    given = options_from(parser().parse_args(["--rights", '{"a": {"lacks": ["insights"]}}']))
    assert {"a": {"lacks": ["insights"]}} == given.rights
    for text, reason in (("[]", "--rights"), ('{"a": {"lacks": ["x"]}}', "lacks")):
        assert 2 == main(["--days", "1", "--projects", "1", "--rights", text])
        assert reason in capsys.readouterr().err
