"""`headgate webhooks` typed at a real twin: each drift, each limit, each failure, and what is never printed."""

import io
import json
import logging
import ssl
import sys

import httpx
import pytest
import structlog
import yaml

from headgate.cli import main
from headgate.testing.circleci import Knobs, Twin

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nothing is asked over TLS

SECRET, OLD = "first-signing-canary", "second-signing-canary"
URL = "http://127.0.0.1:9/webhooks/circleci/ci"
FOREIGN = {"name": "chat", "url": "https://chat.example/T0/their-canary", "events": ["job-completed"]}


@pytest.fixture(scope="module")
def running():
    """Two days of three projects of one organisation."""
    with Twin(seed=5, days=2, projects=3, runs_per_day=14, knobs=Knobs(webhooks_over_http=True)) as twin:
        yield twin


@pytest.fixture
def twin(running):
    """The twin without webhooks, faults and counts of other tests."""
    yield running
    running.clear_faults()
    for project in ids(running):
        for one in listed(running, project):
            ask(running, "DELETE", f"/{one['id']}")
    running.reset_calls()


@pytest.fixture(autouse=True)
def _quiet_logs():
    """The command sets up logging for its process; tests share one."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def ask(twin, method, path="", **how):
    """A request of somebody who owns webhooks."""
    url, headers = f"{twin.base_url}/api/v2/webhook{path}", {"circle-token": twin.token}
    return (
        httpx.request(method, url, headers=headers, verify=NO_AUTHORITIES, trust_env=False, **how)
        .raise_for_status()
        .json()
    )


def ids(twin):
    """Ids of the projects, sorted by slug."""
    return [twin.get(f"/api/v2/project/{slug}")["id"] for slug in sorted(twin.about()["projects"])]


def listed(twin, project):
    """All webhooks of a project."""
    return ask(twin, "GET", params={"scope-id": project, "scope-type": "project"})["items"]


def add(twin, project, **body):
    """Make one by hand."""
    scope = {"id": project, "type": "project"}
    good = {"name": "headgate", "url": URL, "events": ["workflow-completed", "job-completed"]}
    return ask(twin, "POST", json={**good, "verify_tls": True, "signing_secret": SECRET, "scope": scope, **body})


@pytest.fixture
def type_(twin, tmp_path, capsys):
    """Types a command line; gives exit code, JSON lines and standard error. No secret is ever printed."""

    def source(webhook=None, **fields):
        wanted = {"secrets": [SECRET, OLD], "url": URL} | (webhook or {})
        found = {"type": "circleci", "token": twin.token, "base_url": twin.base_url, "orgs": ["gh/acme"]}
        rates = {"budget": {"per_second": 1000, "burst": 1000}, "poll": {"initial": "4d"}}
        return {**found, **rates, "webhook": wanted, **fields}

    def typed(*words, sources=None, as_json=True, **fields):
        file = tmp_path / "headgate.yaml"
        chosen = sources(source) if sources else {"ci": source(**fields)}
        store = {"url": f"sqlite://{tmp_path}/none.db"}
        file.write_text(yaml.safe_dump({"version": 1, "store": store, "sources": chosen, "log": {"format": "json"}}))
        code = main([*words, "-c", str(file), *(["--json"] if as_json else [])])
        out, err = capsys.readouterr()
        assert [word for word in (SECRET, OLD, twin.token, "their-canary") if word in out + err] == []
        return code, [json.loads(line) for line in out.splitlines()] if as_json else out, err

    return typed


def kinds(lines):
    """(action, drift) of each line."""
    return [(line["action"], *line["drift"]) for line in lines]


def test_plan_apply_plan(type_, twin):
    """Drift is 1 and changes nothing; apply makes one signed webhook in each project; then nothing is to do."""
    code, lines, _ = type_("webhooks", "plan")
    assert (1, [("create", "missing")] * 3) == (code, kinds(lines))
    assert sorted(twin.about()["projects"]) == [line["project"] for line in lines]
    assert [] == [one for project in ids(twin) for one in listed(twin, project)]

    code, lines, _ = type_("webhooks", "apply", "--yes")
    assert (0, [("create", True, "")] * 3) == (code, [(one["action"], one["done"], one["problem"]) for one in lines])
    found = [listed(twin, project) for project in ids(twin)]
    assert [1, 1, 1] == [len(one) for one in found]
    assert {("headgate", URL, True, "****")} == {
        (one["name"], one["url"], one["verify_tls"], one["signing_secret"]) for [one] in found
    }

    code, lines, _ = type_("webhooks", "plan")
    assert (0, [("keep",)] * 3) == (code, kinds(lines))
    twin.reset_calls()
    assert 0 == type_("webhooks", "apply", "--yes")[0]
    assert 3 == twin.calls()["/api/v2/webhook"], "one look at each project, nothing else"
    assert "/api/v2/webhook/{webhook-id}" not in twin.calls()


@pytest.mark.parametrize(
    ("changes", "drift"),
    [
        ({"url": "https://old.example/x"}, "wrong_url"),
        ({"name": "by-hand"}, "wrong_name"),
        ({"events": ["job-completed"]}, "wrong_events"),
        ({"signing_secret": ""}, "unsigned"),
        ({"verify_tls": False}, "tls_off"),
    ],
)
def test_each_drift_is_named_and_mended(type_, twin, changes, drift):
    """The same webhook is corrected; no second one is made."""
    first = ids(twin)[0]
    made = add(twin, first, **changes)
    code, lines, _ = type_("webhooks", "plan", "--project", "gh/acme/[a-m]*")
    assert (1, ("update", drift)) == (code, kinds(lines)[0])
    assert 0 == type_("webhooks", "apply", "--yes")[0]
    [one] = listed(twin, first)
    assert (made["id"], "headgate", URL, True, "****", 2) == (
        one["id"], one["name"], one["url"], one["verify_tls"], one["signing_secret"], len(one["events"]),
    )  # fmt: skip
    assert 0 == type_("webhooks", "plan")[0]


def test_a_webhook_made_with_hyphens_is_found_unsigned(type_, twin):
    """The trap of CircleCI's own document is drift, and mended."""
    first = ids(twin)[0]
    scope = {"id": first, "type": "project"}
    hyphens = {"signing-secret": SECRET, "verify-tls": True}
    body = {"name": "headgate", "url": URL, "events": ["workflow-completed", "job-completed"], "scope": scope}
    assert "" == ask(twin, "POST", json=body | hyphens)["signing_secret"]
    assert ("update", "unsigned") == kinds(type_("webhooks", "plan")[1])[0]
    type_("webhooks", "apply", "--yes")
    assert ["****"] == [one["signing_secret"] for one in listed(twin, first)]


def test_a_full_project_is_told_and_the_others_are_done(type_, twin):
    """Five of somebody else's: said with names and hosts, none touched, exit 1; a doubled one of ours goes."""
    first, second, third = ids(twin)
    theirs = [add(twin, first, **FOREIGN | {"name": f"chat-{number}"}) for number in range(5)]
    for _ in range(2):
        add(twin, second)
    code, lines, _ = type_("webhooks", "apply", "--yes")
    assert 1 == code
    [full] = [line for line in lines if line["action"] == "full"]
    assert "chat-0 (https://chat.example/…)" in full["reason"]
    assert theirs == listed(twin, first)
    assert [1, 1] == [len(listed(twin, project)) for project in (second, third)]
    assert 1 == type_("webhooks", "plan")[0]


def test_a_token_without_the_right_is_said_once(type_, twin):
    """One line for the organisation, few calls, exit 1; another source goes on."""

    def two(source):
        weak = {"url": URL + "/weak", "name": "weak"}
        # A project by name is one that v1.1 answers about; that must not make a project token of a member's.
        named = {"include": ["*", min(twin.about()["projects"])]}
        return {"weak": source(token="member-1", webhook=weak, projects=named), "ci": source()}

    code, lines, _ = type_("webhooks", "apply", "--yes", sources=two)
    assert (1, 1) == (code, len([line for line in lines if line["action"] == "no_right"]))
    [told] = [line for line in lines if line["action"] == "no_right"]
    assert ("weak", "gh/acme", True) == (told["source"], told["project"], "administrator" in told["reason"])
    assert [["headgate"]] * 3 == [[one["name"] for one in listed(twin, project)] for project in ids(twin)]
    assert 0 == type_("webhooks", "plan", "--source", "ci", sources=two)[0]


def test_a_dead_token_stops_its_source_alone(type_, twin):
    """The first source is refused, the second is done."""

    def two(source):
        return {"dead": source(token="expired-1"), "ci": source()}

    code, lines, err = type_("webhooks", "plan", sources=two)
    assert (1, {"ci"}) == (code, {line["source"] for line in lines})
    assert "source dead" in err
    assert "token expired" in err


def test_an_error_in_the_middle_fails_one_project_and_a_second_run_completes(type_, twin):
    """The others are done; the second run makes what is missing and nothing twice."""
    twin.put_faults({"server_error": {"count": 2, "routes": "POST /api/v2/webhook"}})
    code, lines, _ = type_("webhooks", "apply", "--yes")
    assert (1, [False, True, True]) == (code, [line["done"] for line in lines])
    assert "500" in lines[0]["problem"]
    assert [0, 1, 1] == [len(listed(twin, project)) for project in ids(twin)]
    code, lines, _ = type_("webhooks", "apply", "--yes")
    assert 0 == code
    assert [("create", "missing")] == kinds([line for line in lines if "done" in line])
    assert [1, 1, 1] == [len(listed(twin, project)) for project in ids(twin)]


def test_an_answer_that_is_lost_makes_no_second_webhook(type_, twin):
    """It was made though nobody said so: found again, not made again."""
    twin.put_faults({"cut_body": {"count": 2, "routes": "POST /api/v2/webhook"}})
    assert 0 == type_("webhooks", "apply", "--yes")[0]
    assert [1, 1, 1] == [len(listed(twin, project)) for project in ids(twin)]


def test_rotation_sets_the_first_secret_on_all_of_ours(type_, twin):
    """Each of ours is updated once; plan does not know of it, since nobody can see a secret."""
    type_("webhooks", "apply", "--yes")
    add(twin, ids(twin)[0], **FOREIGN)
    before = {one["id"]: one["updated_at"] for project in ids(twin) for one in listed(twin, project)}
    twin.advance(60)
    code, lines, _ = type_("webhooks", "apply", "--rotate", "--yes")
    assert (0, 3) == (code, kinds(lines).count(("update", "rotate")))
    after = {one["id"]: (one["name"], one["updated_at"]) for project in ids(twin) for one in listed(twin, project)}
    assert {name for key, (name, at) in after.items() if before[key] != at} == {"headgate"}
    assert {name for key, (name, at) in after.items() if before[key] == at} == {"chat"}


def test_remove_takes_ours_alone(type_, twin):
    """Others' stay, and so does one of our name that goes elsewhere."""
    first = ids(twin)[0]
    type_("webhooks", "apply", "--yes")
    stay = [add(twin, first, **FOREIGN), add(twin, first, url="https://staging.example")]
    code, lines, _ = type_("webhooks", "remove", "--yes")
    assert (0, [("delete",)] * 3) == (code, [kind for kind in kinds(lines) if kind != ("foreign",)])
    assert [stay, [], []] == [listed(twin, project) for project in ids(twin)]
    assert 0 == type_("webhooks", "remove", "--yes")[0]
    assert stay == listed(twin, first)


def test_list_shows_everybodys(type_, twin):
    """Whose it is, whether it is signed; of others' addresses the host alone. A table is the default."""
    first = ids(twin)[0]
    add(twin, first, signing_secret="")
    add(twin, first, **FOREIGN)
    code, lines, _ = type_("webhooks", "list")
    assert 0 == code
    assert [("headgate", True, False, URL), ("chat", False, True, "https://chat.example/…")] == [
        (line["name"], line["ours"], line["signed"], line["url"]) for line in lines
    ]
    _, out, _ = type_("webhooks", "list", as_json=False)
    assert ["ci", min(twin.about()["projects"]), "headgate", URL] == out.splitlines()[1].split("\t")[:4]
    code, _, err = type_("webhooks", "list", token="member-1")
    assert (1, True) == (code, "administrator" in err)


def test_a_change_is_asked_for_at_a_terminal(type_, twin, monkeypatch):
    """No leaves everything as it is; without a terminal --yes must be said."""
    assert 2 == type_("webhooks", "apply", as_json=False)[0]
    assert 2 == type_("webhooks", "remove", as_json=False)[0]

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, out, _ = type_("webhooks", "apply", as_json=False)
    assert (130, 3) == (code, out.count("\tcreate\t"))
    assert 2 == type_("webhooks", "apply")[0], "with --json nobody is asked"
    assert [[], [], []] == [listed(twin, project) for project in ids(twin)]
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert 0 == type_("webhooks", "apply", as_json=False)[0]
    assert [1, 1, 1] == [len(listed(twin, project)) for project in ids(twin)]


def test_what_is_not_there_is_named(type_):
    """No URL, no such source: 2. No such project: 1."""
    code, _, err = type_("webhooks", "plan", webhook={"url": None})
    assert (2, True) == (code, "webhook.url" in err)
    code, _, err = type_("webhooks", "plan", "--source", "other")
    assert (2, True) == (code, "source other" in err)
    code, _, err = type_("webhooks", "plan", "--project", "gh/acme/nothing")
    assert (1, True) == (code, "no project" in err)


def test_check_says_drift_in_one_line(type_, twin):
    """By kind; ok once applied; a token that may not look is no failure; without a URL there is no line."""

    def wiring(**fields):
        code, lines, _ = type_("check", **fields)
        return code, [(one["ok"], one["reason"], one["fix"]) for one in lines if one["name"].endswith("wiring")]

    add(twin, ids(twin)[0], signing_secret="")
    code, [(ok, reason, fix)] = wiring()
    assert (1, False, "webhooks_drift") == (code, ok, reason)
    assert fix.startswith("2 missing, 1 unsigned of 3 projects")
    type_("webhooks", "apply", "--yes")
    assert (0, [(True, "ok", "")]) == wiring()
    code, [(ok, reason, fix)] = wiring(token="member-1")
    assert (0, True, "webhooks_unseen", True) == (code, ok, reason, "administrator" in fix)
    assert (0, []) == wiring(webhook={"url": None})
