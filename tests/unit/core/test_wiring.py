"""What the planner decides: a table of what is found against what has to be done."""

import pytest

from headgate.core.webhooks import WantedWebhook, Webhook
from headgate.core.wiring import Survey, plan, removal, shown_url, summary, wrong

URL = "https://hooks.example.com/webhooks/circleci/ci"
BOTH = frozenset({"workflow-completed", "job-completed"})
WANTED = WantedWebhook("headgate", URL, BOTH)


def hook(number=1, **fields):
    """A webhook that is as wanted unless said otherwise."""
    good = {"id": f"h{number}", "name": "headgate", "url": URL, "events": BOTH, "verify_tls": True, "signed": True}
    return Webhook(**good | fields)


def foreign(number):
    """A webhook of somebody else, whose address holds a secret."""
    return hook(number, name=f"chat-{number}", url=f"https://u:pw@chat{number}.example/T0/SECRET?key=SECRET")


def decided(*found, wanted=WANTED, **how):
    """(kind, drift, webhook id) of each action for one project with these webhooks."""
    actions = plan(wanted, [Survey("gh/acme/web", "p1", found)], **{"limit": 5, **how})
    return [(one.kind, one.drift, one.webhook.id if one.webhook else None) for one in actions]


OTHERS = [foreign(number) for number in range(11, 16)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([], [("create", ("missing",), None)], id="none"),
        pytest.param([hook()], [("keep", (), "h1")], id="as wanted"),
        pytest.param([hook(name="x")], [("update", ("wrong_name",), "h1")], id="ours by URL under another name"),
        pytest.param([hook(url="https://old.example")], [("update", ("wrong_url",), "h1")], id="ours by name"),
        pytest.param(
            [hook(events=frozenset({"job-completed"}))], [("update", ("wrong_events",), "h1")], id="an event too few"
        ),
        pytest.param([hook(events=BOTH | {"new"})], [("update", ("wrong_events",), "h1")], id="an event too many"),
        pytest.param([hook(signed=False)], [("update", ("unsigned",), "h1")], id="without a secret"),
        pytest.param([hook(verify_tls=False)], [("update", ("tls_off",), "h1")], id="certificate not verified"),
        pytest.param(
            [hook(signed=False, verify_tls=False)], [("update", ("unsigned", "tls_off"), "h1")], id="two at once"
        ),
        pytest.param([OTHERS[0]], [("create", ("missing",), None), ("foreign", (), "h11")], id="others' are left"),
        pytest.param(
            [*OTHERS[:4], hook(signed=False)],
            [("update", ("unsigned",), "h1"), *[("foreign", (), one.id) for one in OTHERS[:4]]],
            id="a full project with ours is mended",
        ),
        pytest.param(
            OTHERS, [("full", ("missing",), None), *[("foreign", (), one.id) for one in OTHERS]], id="full of others'"
        ),
        pytest.param(
            [hook(1, signed=False), hook(2)],
            [("keep", (), "h2"), ("delete", ("duplicate",), "h1")],
            id="of two with our URL the better one stays",
        ),
        pytest.param(
            [hook(1, url="https://staging.example"), hook(2)],
            [("keep", (), "h2"), ("foreign", (), "h1")],
            id="our name is not ours where our URL is there",
        ),
        pytest.param(
            [hook(2, url="https://b.example"), hook(1, url="https://a.example")],
            [("update", ("wrong_url",), "h1"), ("foreign", (), "h2")],
            id="one of two with our name",
        ),
    ],
)
def test_what_is_found_decides_what_is_done(found, expected):
    """Each drift has its name, and only ours are ever changed."""
    assert expected == decided(*found)


def test_rotation_updates_what_is_as_wanted():
    """Nobody can see which secret is set, so all of ours get it."""
    assert [("update", ("rotate",), "h1")] == decided(hook(), rotate=True)
    assert [("update", ("unsigned",), "h1")] == decided(hook(signed=False), rotate=True)
    assert [("full", ("missing",), None)] == decided(*OTHERS, rotate=True)[:1]


def test_verification_can_be_unwanted():
    """A receiver with a private certificate gets nothing while it is verified."""
    lax = WantedWebhook("headgate", URL, BOTH, verify_tls=False)
    assert [("update", ("tls_on",), "h1")] == decided(hook(), wanted=lax)
    assert [("keep", (), "h1")] == decided(hook(verify_tls=False), wanted=lax)


def test_missing_rights_are_said_once_for_each_organisation():
    """Two hundred projects are one line; a project that failed is one of its own; the others are planned."""
    found = [
        Survey("gh/acme/a", "1", refused="no_right"),
        Survey("gh/acme/b", "2", refused="no_right"),
        Survey("gh/other/c", "3", refused="no_right"),
        Survey("gh/mine/d", "4", refused="failed", detail="500 boom"),
        Survey("gh/mine/e", "5", (hook(),)),
    ]
    actions = plan(WANTED, found, limit=5)
    assert [
        ("failed", "gh/mine/d"),
        ("keep", "gh/mine/e"),
        ("no_right", "gh/acme"),
        ("no_right", "gh/other"),
    ] == [(one.kind, one.project) for one in actions]
    assert "2 projects" in actions[2].reason
    assert "administrator" in actions[2].reason
    assert "1 failed, 2 no_right" == summary(actions)


def test_a_full_project_says_what_is_there_and_what_to_do():
    """The names help; the addresses of others may hold secrets, so only their hosts are told."""
    [full, *_] = plan(WANTED, [Survey("gh/acme/web", "p1", OTHERS)], limit=5)
    assert all(f"chat-{number} (https://chat{number}.example/…)" in full.reason for number in range(11, 16))
    assert "SECRET" not in full.reason
    assert "pw" not in full.reason
    assert "remove one" in full.reason


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example", "https://a.example"),
        ("https://u:p@a.example:8443/x?y", "https://a.example:8443/…"),
        ("https://a.example?key=s", "https://a.example"),
        ("nonsense-with-a-secret", "…"),
    ],
)
def test_addresses_of_others_are_shown_as_hosts(url, shown):
    """Path, query and user may be secrets."""
    assert shown == shown_url(url)


def test_drift_is_told_from_what_is_fine():
    """Webhooks of others and ours as wanted are no drift; everything else is."""
    fine = plan(WANTED, [Survey("gh/acme/web", "p1", (hook(), OTHERS[0]))], limit=5)
    assert (False, "") == (wrong(fine), summary(fine))
    bad = plan(WANTED, [Survey("gh/a/b", "1"), Survey("gh/a/c", "2", (hook(signed=False),))], limit=5)
    assert (True, "1 missing, 1 unsigned") == (wrong(bad), summary(bad))


def test_removal_takes_what_has_our_url_alone():
    """A webhook of our name that goes elsewhere may be another installation's."""
    elsewhere = hook(2, url="https://staging.example")
    found = [Survey("gh/acme/web", "p1", (hook(1), elsewhere, OTHERS[0])), Survey("gh/acme/b", "p2", (elsewhere,))]
    assert [("delete", "h1"), ("foreign", "h2"), ("foreign", "h11"), ("foreign", "h2")] == [
        (one.kind, one.webhook.id) for one in removal(WANTED, found)
    ]
