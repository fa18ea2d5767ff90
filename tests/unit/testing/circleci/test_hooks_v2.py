"""Managed webhooks of the twin: the shapes of the document, CircleCI's traps, and real deliveries."""

import json

import httpx
import pytest
from tests.unit.testing.circleci.conftest import SMALL
from tests.unit.testing.circleci.test_api_v2 import check

from headgate.testing.circleci import Knobs, Options, Twin, signature

SECRET = "first-secret-value"
URL = "https://hooks.example.com/webhooks/circleci"


@pytest.fixture
def owner():
    """A twin that takes http webhooks of this machine, and somebody who manages them."""
    fields = SMALL | {"days": 2, "knobs": Knobs(webhooks_over_http=True), "webhook_pause_seconds": 0.001}
    with Twin(Options(**fields)) as twin:
        yield Owner(twin)


class Owner:
    """Asks the twin as the holder of a token."""

    def __init__(self, twin):
        self.twin = twin
        self.projects = [twin.get(f"/api/v2/project/{slug}")["id"] for slug in twin.about()["projects"]]

    def ask(self, method, path="", *, token=None, **how):
        """One request below /api/v2/webhook."""
        headers = {"circle-token": token or self.twin.token}
        return httpx.request(
            method, f"{self.twin.base_url}/api/v2/webhook{path}", headers=headers, trust_env=False, **how
        )

    def body(self, project=0, **changes):
        """A good request."""
        scope = {"id": self.projects[project], "type": "project"}
        good = {"name": "headgate", "url": URL, "events": ["job-completed"], "verify_tls": True, "scope": scope}
        return good | {"signing_secret": SECRET} | changes

    def create(self, project=0, **changes):
        """Make one; gives its description."""
        answer = self.ask("POST", json=self.body(project, **changes))
        assert answer.status_code == 201, answer.text
        return answer.json()

    def listed(self, project=0):
        """All of a project."""
        answer = self.ask("GET", params={"scope-id": self.projects[project], "scope-type": "project"})
        check("/webhook", answer.json())
        return answer.json()["items"]


def test_a_webhook_is_made_read_changed_and_removed(owner):
    """As documented; the secret is told as stars; the scope stays; each project has its own."""
    made = owner.create()
    assert "****" == made["signing_secret"]
    assert [made] == owner.listed()
    assert [] == owner.listed(1)
    one = owner.ask("GET", f"/{made['id']}").json()
    check("/webhook/{webhook-id}", one)
    assert made == one
    change = {"events": ["workflow-completed"], "scope": {"id": owner.projects[1], "type": "project"}}
    changed = owner.ask("PUT", f"/{made['id']}", json=change).json()
    assert ["workflow-completed"] == changed["events"]
    assert {key: made[key] for key in ("id", "scope", "name", "url", "signing_secret")} == {
        key: changed[key] for key in ("id", "scope", "name", "url", "signing_secret")
    }
    assert {"message": "ok"} == owner.ask("DELETE", f"/{made['id']}").json()
    assert [404, 404, 404] == [owner.ask(method, f"/{made['id']}").status_code for method in ("GET", "PUT", "DELETE")]
    assert [] == owner.listed()


def test_hyphens_make_an_unsigned_webhook(owner):
    """Unknown keys are ignored, also those of CircleCI's own document."""
    body = owner.body()
    del body["signing_secret"], body["verify_tls"]
    made = owner.ask("POST", json=body | {"signing-secret": SECRET, "verify-tls": False}).json()
    assert ("", True) == (made["signing_secret"], made["verify_tls"])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"url": "http://hooks.example.com"}, "https"),
        ({"url": "ftp://127.0.0.1/"}, "https"),
        ({"url": "https://"}, "https"),
        ({"events": []}, "events"),
        ({"events": ["workflow-started"]}, "events"),
        ({"verify_tls": "yes"}, "verify_tls"),
        ({"scope": {"id": "x", "type": "organization"}}, "scope"),
    ],
)
def test_bad_values_are_refused(owner, changes, word):
    """400 says which key; nothing is made."""
    answer = owner.ask("POST", json=owner.body(**changes))
    assert 400 == answer.status_code
    assert word in answer.json()["message"]
    assert [] == owner.listed()


def test_keys_that_are_needed(owner):
    """A body without a URL, and one that is no object, make nothing."""
    without = {key: value for key, value in owner.body().items() if key != "url"}
    assert "url: is required" == owner.ask("POST", json=without).json()["message"]
    assert 400 == owner.ask("POST", content=b"[").status_code
    assert 404 == owner.ask("POST", json=owner.body(scope={"id": "x", "type": "project"})).status_code
    assert 400 == owner.ask("GET", params={"scope-id": owner.projects[0]}).status_code
    assert 404 == owner.ask("GET", params={"scope-id": "x", "scope-type": "project"}).status_code


def test_http_is_refused_without_the_knob(twin):
    """As CircleCI does, for this machine too."""
    asker = Owner(twin)
    answer = asker.ask("POST", json=asker.body(url="http://127.0.0.1:1/x"))
    assert (400, "url: must be an https URL") == (answer.status_code, answer.json()["message"])


def test_five_are_all_that_a_project_may_have(owner):
    """The sixth is refused, another project has room."""
    for number in range(5):
        owner.create(name=f"n{number}")
    answer = owner.ask("POST", json=owner.body())
    assert (400, True) == (answer.status_code, "5" in answer.json()["message"])
    assert 5 == len(owner.listed())
    owner.create(1)


def test_a_member_who_is_no_administrator_may_not(owner):
    """Such a token sees projects and no webhooks."""
    made = owner.create()
    assert 403 == owner.ask("GET", f"/{made['id']}", token="member-1").status_code
    assert 403 == owner.ask("POST", json=owner.body(), token="member-1").status_code
    headers = {"circle-token": "member-1"}
    slug = owner.twin.about()["projects"][0]
    seen = httpx.get(f"{owner.twin.base_url}/api/v2/project/{slug}", headers=headers, trust_env=False)
    assert 200 == seen.status_code


def test_managed_webhooks_are_delivered_to_as_they_ask(owner, receiver):
    """Only their project, only their events, signed with their secret, under ids of their own; none once removed."""
    jobs = owner.create(0, url=receiver.url)
    runs = owner.create(0, url=receiver.url, name="runs", events=["workflow-completed"], signing_secret="")
    done = owner.twin.advance(6 * 3600)
    assert done["sent"] == len(receiver.got) > 0
    told = [(headers, body, json.loads(body)) for headers, body in receiver.got]
    assert {owner.projects[0]} == {said["project"]["id"] for _, _, said in told}
    by_hook = {jobs["id"]: "job-completed", runs["id"]: "workflow-completed"}
    assert all(by_hook[said["webhook"]["id"]] == said["type"] for _, _, said in told)
    for headers, body, said in told:
        wanted = signature(SECRET, body) if said["webhook"]["id"] == jobs["id"] else None
        assert wanted == headers.get("circleci-signature")
    assert {jobs["id"], runs["id"]} == {one["webhook"] for one in owner.twin.deliveries()}
    owner.ask("DELETE", f"/{jobs['id']}")
    owner.ask("PUT", f"/{runs['id']}", json={"events": ["job-completed"]})
    receiver.got.clear()
    owner.twin.advance(6 * 3600)
    assert {runs["id"]} == {json.loads(body)["webhook"]["id"] for _, body in receiver.got}


def test_two_webhooks_give_one_run_two_ids(owner, receiver):
    """Each delivery has its own id, whichever thing it tells of."""
    for name in ("a", "b"):
        owner.create(0, url=receiver.url, name=name)
    owner.twin.advance(6 * 3600)
    ids = [json.loads(body)["id"] for _, body in receiver.got]
    things = [json.loads(body)["job"]["id"] for _, body in receiver.got]
    assert len(ids) == len(set(ids)) == 2 * len(set(things)) > 0


def test_a_fault_can_be_for_one_method(owner):
    """`routes` takes the method too, so that a POST fails and the list does not."""
    owner.twin.put_faults({"server_error": {"count": 1, "routes": "POST /api/v2/webhook"}})
    assert [] == owner.listed()
    assert 500 == owner.ask("POST", json=owner.body()).status_code
    assert [] == owner.listed()
    owner.twin.put_faults({"cut_body": {"count": 1, "routes": "POST /api/v2/webhook"}})
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        owner.ask("POST", json=owner.body()).json()
    assert 1 == len(owner.listed()), "it was made though the answer is cut"
