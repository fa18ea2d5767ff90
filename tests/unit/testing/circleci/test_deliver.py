"""Webhooks on their way: advancing the clock, retries, faults, raw bodies, a running clock."""

import json
from collections import Counter

import httpx
import pytest

from headgate.testing.circleci import Options, Twin, signature
from headgate.testing.circleci.times import parse

NOW = parse("2026-11-20T12:00:00Z")
SECRET = "s3cret"
HOURS = 3600


def start(receiver, **changes):
    """Make a twin that sends to the receiver."""
    fields = {
        "now_ms": NOW,
        "seed": 7,
        "days": 2,
        "projects": 4,
        "webhook_url": receiver.url,
        "webhook_secret": SECRET,
    }
    return Twin(Options(**{**fields, "webhook_pause_seconds": 0.001, **changes}))


def ids(receiver):
    """Give the ids of what arrived, in order."""
    return [json.loads(body)["id"] for _, body in receiver.got]


def valid(pair):
    """Say whether what arrived is signed well."""
    headers, body = pair
    return headers.get("circleci-signature") == signature(SECRET, body)


def test_an_advance_sends_all_that_finishes(receiver):
    """Nothing before; then each finished job and workflow once, signed, and all of them in the truth."""
    with start(receiver) as twin:
        assert [] == twin.deliveries()
        done = twin.advance(3 * HOURS)
        told = {line["provider_id"]: line for line in twin.truth("2026-11-20T12:00:00Z")}
        sent = twin.deliveries()
        assert "2026-11-20T15:00:00.000Z" == done["now"] == twin.about()["now"]
    assert len(sent) == done["sent"] == len(receiver.got) == len(set(ids(receiver)))
    assert all(valid(pair) for pair in receiver.got)
    can = {key for key, line in told.items() if line["knowable"]["webhook"]}
    assert can == {delivery["provider_id"] for delivery in sent}
    assert all(delivery["delivered"] and delivery["attempts"][0]["status"] == 200 for delivery in sent)
    kinds = Counter(headers["circleci-event-type"] for headers, _ in receiver.got)
    assert {"job-completed", "workflow-completed"} == kinds.keys()


def test_two_twins_send_the_same(receiver):
    """The same bodies, however the time was cut into advances."""
    with start(receiver) as twin:
        twin.advance(3 * HOURS)
    first = sorted(body for _, body in receiver.got)
    receiver.got.clear()
    with start(receiver) as twin:
        for _ in range(3):
            twin.advance(HOURS)
    assert first == sorted(body for _, body in receiver.got)


def test_a_refused_delivery_is_tried_again(receiver):
    """Up to three times; each answer is kept."""
    receiver.answers = [500, 503]
    with start(receiver, webhooks_in_flight=1) as twin:
        twin.advance(2 * HOURS)
        sent = twin.deliveries()
    assert [500, 503, 200] == [attempt["status"] for attempt in sent[0]["attempts"]]
    assert all(delivery["delivered"] for delivery in sent)
    assert 3 == ids(receiver).count(sent[0]["id"])


def test_nobody_listening_is_noted(receiver):
    """Three attempts, no status, the error's text; the advance ends."""
    with start(receiver, webhook_url="http://127.0.0.1:9/x") as twin:
        twin.advance(HOURS)
        sent = twin.deliveries()
    assert sent
    for delivery in sent:
        assert not delivery["delivered"]
        assert [None] * 3 == [attempt["status"] for attempt in delivery["attempts"]]


def test_lost_webhooks_are_known(receiver):
    """They never arrive, and are listed as lost."""
    with start(receiver) as twin:
        twin.put_faults({"webhook_lost": {"count": 3}})
        twin.advance(3 * HOURS)
        sent = twin.deliveries()
    lost = [delivery["id"] for delivery in sent if delivery["fault"] == "webhook_lost"]
    assert 3 == len(lost)
    assert not set(lost) & set(ids(receiver))
    assert len(sent) - 3 == len(receiver.got)


def test_doubled_webhooks_are_the_same_bytes(receiver):
    """Same id, same body."""
    with start(receiver) as twin:
        twin.put_faults({"webhook_doubled": {"count": 2}})
        twin.advance(3 * HOURS)
    twice = [key for key, number in Counter(ids(receiver)).items() if number == 2]
    assert 2 == len(twice)
    assert 2 == sum(number == 2 for number in Counter(body for _, body in receiver.got).values())


def test_forged_webhooks_come_beside_the_true_ones(receiver):
    """An extra delivery with a wrong signature, not tried again."""
    with start(receiver) as twin:
        twin.put_faults({"webhook_forged": {"count": 2}})
        twin.advance(3 * HOURS)
    forged = [pair for pair in receiver.got if not valid(pair)]
    assert 2 == len(forged)
    assert {json.loads(body)["id"] for _, body in forged} <= {
        json.loads(pair[1])["id"] for pair in receiver.got if valid(pair)
    }


def test_late_webhooks_come_when_their_time_has_come(receiver):
    """Held until the clock has passed their delay, with the time they happened at."""
    with start(receiver) as twin:
        twin.put_faults({"webhook_late": {"rate": 1, "seconds": 5 * HOURS}})
        assert 0 < twin.advance(3 * HOURS)["waiting"]
        assert [] == receiver.got
        twin.clear_faults()
        twin.advance(8 * HOURS)
        assert all(delivery["delivered"] for delivery in twin.deliveries())
    happened = [json.loads(body)["happened_at"] for _, body in receiver.got]
    assert sorted(happened) != happened


def test_reordered_webhooks_change_places(receiver):
    """All arrive; the order is another."""
    with start(receiver, webhooks_in_flight=1) as twin:
        twin.put_faults({"webhook_reordered": {"rate": 0.5, "window": 6}})
        twin.advance(3 * HOURS)
        sent = [delivery["id"] for delivery in twin.deliveries()]
    assert sorted(sent) == sorted(ids(receiver))
    assert sent != ids(receiver)


def test_one_sender_keeps_the_order(receiver):
    """Jobs before their workflow, in the order they happened."""
    with start(receiver, webhooks_in_flight=1) as twin:
        twin.advance(3 * HOURS)
    happened = [json.loads(body)["happened_at"] for _, body in receiver.got]
    assert sorted(happened) == happened


@pytest.mark.parametrize("forged", [False, True], ids=["signed", "forged"])
def test_a_raw_body_is_sent_as_it_is(receiver, forged):
    """Byte for byte, with the type it names."""
    raw = b'{ "type":"ping",  "id": "x" }'
    with start(receiver) as twin:
        answer = twin.emit(raw, forged=forged)
    assert 200 == answer["status"]
    headers, body = receiver.got[0]
    assert (raw, "ping") == (body, headers["circleci-event-type"])
    assert valid(receiver.got[0]) is not forged


def test_what_cannot_be_done_is_refused(twin):
    """No URL to send to; no way back in time."""
    assert 409 == httpx.post(f"{twin.base_url}/_twin/emit", content=b"{}").status_code
    for body in ({"seconds": -1}, {"seconds": "x"}, {}):
        assert 400 == httpx.post(f"{twin.base_url}/_twin/advance", json=body).status_code
    assert 400 == httpx.get(f"{twin.base_url}/_twin/truth?since=yesterday").status_code


def test_a_running_clock_sends_by_itself(receiver):
    """With `live`, time passes and webhooks come without being asked for."""
    with start(receiver, live=True, speed=200_000.0) as twin:
        while not receiver.got:
            twin.about()
        assert twin.about()["now"] > "2026-11-20T12:00:00.000Z"


def test_no_advance_waits_longer_than_told(receiver):
    """A receiver that never answers holds the clock up for the time-out, not for ever."""
    with start(receiver, webhook_url="http://127.0.0.1:9/x", webhook_pause_seconds=30.0) as twin:
        done = twin.advance(3 * HOURS, timeout_seconds=0.05)
    assert "2026-11-20T15:00:00.000Z" == done["now"]
