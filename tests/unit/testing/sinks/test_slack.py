"""The Slack fake holds to the API's words and limits."""

import ssl

import httpx
import orjson
import pytest

from headgate.testing.sinks import FakeVendor
from headgate.testing.sinks.vendors.slack import HOOK, TOKEN

HTTP = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no certificates to load: loopback is plain
    limits=httpx.Limits(max_keepalive_connections=0),
)


def call(fake, method, **arguments):
    """Call a method of the API with the right token."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    return HTTP.post(f"{fake.url}/api/{method}", json=arguments, headers=headers).json()


def section(text="x", **extra):
    """Return a section block."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **extra}


@pytest.fixture
def fake():
    """Run a fake with default options and a fixed clock."""
    with FakeVendor("slack", clock_ms=lambda: 5_000) as running:
        yield running


def test_message_is_posted_edited_and_deleted_in_place(fake):
    """One message is one row: its ts stays, its text changes, its deletion is marked."""
    metadata = {"event_type": "alert", "event_payload": {"record_id": "r1"}}
    posted = call(fake, "chat.postMessage", channel="C1", text="firing", metadata=metadata)
    assert (posted["ok"], posted["ts"], posted["channel"]) == (True, "5.000001", "C1")
    assert call(fake, "chat.update", channel="C1", ts=posted["ts"], text="resolved")["ok"]
    (row,) = fake.stored()
    seen = (row["n"], row["record_id"], row["native"]["text"], row["native"]["edits"])
    assert seen == (1, "r1", "resolved", 1)
    assert call(fake, "chat.delete", channel="C1", ts=posted["ts"])["ok"]
    assert fake.stored()[0]["native"]["deleted"]
    again = call(fake, "chat.update", channel="C1", ts=posted["ts"], text="x")
    assert again == {"ok": False, "error": "message_not_found"}


def test_reply_needs_its_thread(fake):
    """`thread_ts` must name a message of the channel."""
    ts = call(fake, "chat.postMessage", channel="C1", text="x")["ts"]
    assert call(fake, "chat.postMessage", channel="C1", text="y", thread_ts=ts)["ok"]
    assert call(fake, "chat.postMessage", channel="C2", text="y", thread_ts=ts)["error"] == "thread_not_found"


LONG = "x" * 3_001
BUTTON = {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "http://localhost/"}


@pytest.mark.parametrize(
    ("block", "good"),
    [
        (section("x" * 3_000), True),
        (section(fields=[{"type": "mrkdwn", "text": "x" * 2_000}] * 10), True),
        (section(fields=[{"type": "mrkdwn", "text": "x"}] * 11), False),
        (section(fields=[{"type": "mrkdwn", "text": "x" * 2_001}]), False),
        (section(accessory=BUTTON), True),
        (section(block_id="x" * 256), False),
        ({"type": "section"}, False),
        ({"type": "section", "text": "x"}, False),
        ({"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}, True),
        ({"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}, False),
        ({"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10}, True),
        ({"type": "context", "elements": []}, False),
        ({"type": "context", "elements": [{"type": "image", "alt_text": "x"}]}, False),
        ({"type": "image", "image_url": "http://localhost/", "alt_text": "x"}, True),
        ({"type": "image", "image_url": "http://localhost/"}, False),
        ({"type": "actions", "elements": [BUTTON] * 25}, True),
        ({"type": "actions", "elements": [BUTTON] * 26}, False),
        ({"type": "actions", "elements": ["x"]}, False),
        (
            {"type": "actions", "elements": [{**BUTTON, "text": {"type": "plain_text", "text": "x" * 76}}]},
            False,
        ),
        ({"type": "actions", "elements": [{**BUTTON, "url": LONG}]}, False),
        ({"type": "actions", "elements": [{"type": "static_select"}]}, True),
        ({"type": "markdown", "text": "x" * 12_000}, True),
        ({"type": "markdown", "text": ""}, False),
        ({"type": "rich_text"}, False),
        ({"type": "divider"}, True),
        ("divider", False),
    ],
)
def test_block_limits(fake, block, good):
    """Each block type holds to its documented limits, in messages and in attachments."""
    answers = [
        call(fake, "chat.postMessage", channel="C1", text="x", blocks=[block]),
        call(fake, "chat.postMessage", channel="C1", attachments=[{"blocks": [block]}]),
    ]
    assert [good, good] == [answer["ok"] for answer in answers]
    if not good:
        assert answers[0]["error"] == "invalid_blocks"
        assert "/blocks/0]" in answers[0]["response_metadata"]["messages"][0]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"blocks": [section(block_id="a"), section(block_id="a")]}, "invalid_blocks"),
        ({"blocks": "x"}, "invalid_blocks"),
        ({"text": 5}, "invalid_arguments"),
        ({"attachments": [{}] * 101}, "too_many_attachments"),
        ({"attachments": ["x"]}, "invalid_attachments"),
    ],
    ids=["same-block-id", "blocks-as-text", "number-as-text", "101-attachments", "attachment-as-text"],
)
def test_message_limits(fake, message, error):
    """A message as a whole holds to its limits."""
    answer = call(fake, "chat.postMessage", channel="C1", **message)
    assert (False, error, []) == (answer["ok"], answer["error"], fake.stored())


def test_only_named_channels_exist():
    """With `channels` any other is not found."""
    with FakeVendor("slack", channels="C1, #ops") as fake:
        answers = [call(fake, "chat.postMessage", channel=name, text="x") for name in ("C1", "#ops", "C2")]
        assert [answer.get("error") for answer in answers] == [None, None, "channel_not_found"]


def test_rate_limit_is_429_with_retry_after():
    """Two posts to one channel within the interval: the second waits; another channel does not."""
    with FakeVendor("slack", interval_ms=1_000, clock_ms=lambda: 5_000) as fake:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answers = [
            HTTP.post(f"{fake.url}/api/chat.postMessage", json={"channel": name, "text": "x"}, headers=headers)
            for name in ("C1", "C1", "C2")
        ]
        assert [answer.status_code for answer in answers] == [200, 429, 200]
        assert answers[1].headers["retry-after"] == "2"


def test_form_encoding_is_taken(fake):
    """Blocks come as JSON text in a form; the token may be a field."""
    form = {"token": TOKEN, "channel": "C1", "blocks": orjson.dumps([section()]).decode()}
    assert HTTP.post(f"{fake.url}/api/chat.postMessage", data=form).json()["ok"]
    assert fake.stored()[0]["native"]["blocks"] == [section()]
    broken = HTTP.post(f"{fake.url}/api/chat.postMessage", data={**form, "blocks": "["}).json()
    assert broken["error"] == "invalid_blocks_format"


@pytest.mark.parametrize(
    ("target", "content", "kind", "error"),
    [
        ("GET chat.postMessage", b"", "application/json", "invalid_post_type"),
        ("POST chat.postMessage", b"[]", "application/json", "json_not_object"),
        ("POST chat.postMessage", b"x", "text/plain", "invalid_form_data"),
        ("POST chat.unknown", b"{}", "application/json", "unknown_method"),
    ],
    ids=["get", "array", "text", "method"],
)
def test_malformed_calls(fake, target, content, kind, error):
    """Each malformed call gets the API's word."""
    method, path = target.split()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": kind}
    answer = HTTP.request(method, f"{fake.url}/api/{path}", content=content, headers=headers)
    assert error == answer.json()["error"]


def test_auth_test_names_the_team(fake):
    """A token can be probed without posting."""
    assert tuple(call(fake, "auth.test")[key] for key in ("ok", "team")) == (True, "Fake")


def test_incoming_webhook_says_ok(fake):
    """A webhook post is stored, as JSON or in a form, and answered with `ok`."""
    plain = HTTP.post(fake.url + HOOK, json={"text": "x"})
    form = HTTP.post(fake.url + HOOK, data={"payload": '{"text":"y"}'})
    assert [(answer.status_code, answer.text) for answer in (plain, form)] == [(200, "ok"), (200, "ok")]
    assert [row["native"]["text"] for row in fake.stored()] == ["x", "y"]
    refused = [HTTP.get(fake.url + HOOK), HTTP.post(fake.url + HOOK, json=[])]
    assert [answer.text for answer in refused] == ["invalid_payload\n"] * 2
