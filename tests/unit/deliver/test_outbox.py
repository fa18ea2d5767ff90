"""Notifications on their way to people."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.deliver.fakes import BASE_MS, FakeStore, FakeTransport, Figures, LoopClock, run_virtual

from headgate.core.errors import PartlyTaken, StoreFailed
from headgate.core.messages import Digest, Notification, payload_of
from headgate.core.ports import HttpReply, HttpRequest, TransportOptions
from headgate.core.storeport import OutboxRow
from headgate.core.verdicts import classify, raise_for, retry_after_seconds
from headgate.deliver import OutboxOptions, OutboxWorker


class TestChannel:
    """A notifier that sends the key of the notification."""

    __test__ = False
    transport = TransportOptions()

    grouped = True
    digests = False

    def __init__(self, name):
        self.name = name

    def encode(self, message, *, now_ms):
        if message.notifications[0].rule == "bug":
            raise RuntimeError("hunter2")
        keys = "+".join(one.key for one in message.notifications)
        body = keys + "".join(f"?{value}" for value in message.memory.values())
        return HttpRequest("POST", f"http://{self.name}/", (), body.encode())

    def interpret(self, reply, message):
        raise_for(classify(reply.status), reply.status, reply.text(), retry_after=retry_after_seconds(reply.headers))


def row(
    number, notifier="ops", *, created_ms=BASE_MS, rule="slow", group="", fingerprint="f", state="firing", reason="slow"
):
    """A stored notification."""
    notification = Notification(
        key=f"k{number}",
        fingerprint=fingerprint,
        rule=rule,
        state=state,
        reason=reason,
        labels={"severity": "critical"},
        annotations={},
        starts_ms=BASE_MS,
        ends_ms=None,
        at_ms=BASE_MS,
        numbers={"value": 1.5},
    )
    return OutboxRow(number, notifier, notification.key, payload_of(notification), created_ms, BASE_MS, group=group)


def play(store, script, *, seconds, notifiers=("ops",), **more):
    """Run the worker for so long; returns (time, notifier, key) of each request, and the metrics."""
    sent, figures = [], Figures()

    def answer(wire, call):
        name, key = wire.url[7:-1], wire.body.decode()
        sent.append((asyncio.get_running_loop().time(), name, key))
        reply = script(name, key, len(sent))
        return HttpReply(reply, {}, b"words") if isinstance(reply, int) else reply

    channel = more.pop("channel", TestChannel)

    async def scenario():
        worker = OutboxWorker(
            store,
            {name: channel(name) for name in notifiers},
            transport=more.pop("transport", None) or FakeTransport(answer),
            clock=LoopClock(),
            metrics=figures,
            **more,
        )
        task = asyncio.create_task(worker.run())
        worker.wake()
        await asyncio.sleep(seconds)
        worker.stop()
        await task

    run_virtual(scenario())
    return sent, figures


def test_accepted_notifications_leave_the_outbox_in_order():
    """Each is sent once, oldest first."""
    store = FakeStore()
    store.outbox = [row(number) for number in range(1, 6)]
    sent, figures = play(store, lambda *_: 200, seconds=1)
    assert [key for _, _, key in sent] == ["k1", "k2", "k3", "k4", "k5"]
    assert store.outbox == []
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="accepted") == 5


def test_a_failure_is_retried_before_later_ones_go():
    """Resolved never overtakes firing; the attempt is stored with its reason."""
    store = FakeStore()
    store.outbox = [row(1), row(2)]
    sent, _ = play(store, lambda name, key, call: 503 if call < 3 else 200, seconds=60)
    assert [key for _, _, key in sent] == ["k1", "k1", "k1", "k2"]
    assert store.outbox_log == [
        ("retry", 1, "answered 503: words"),
        ("retry", 1, "answered 503: words"),
        ("done", 1, ""),
        ("done", 2, ""),
    ]


def test_retry_after_is_obeyed():
    """Nothing goes to that notifier before."""
    store = FakeStore()
    store.outbox = [row(1), row(2)]
    slow = HttpReply(429, {"retry-after": "40"}, b"")
    sent, _ = play(store, lambda name, key, call: slow if call == 1 else 200, seconds=90)
    assert 40 <= sent[1][0] < 45


def test_a_refusing_notifier_is_tried_once_a_minute():
    """A wrong token is no reason to lose an alert or to hammer."""
    store = FakeStore()
    store.outbox = [row(1)]
    sent, _ = play(store, lambda name, key, call: 401 if call < 4 else 200, seconds=400)
    assert [round(at) for at, _, _ in sent] == [0, 60, 120, 180]
    assert store.outbox == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_will_never_be_taken_is_dead_at_once(status):
    """The rest goes on, and whoever raises alerts about it is told."""
    store, dead = FakeStore(), []
    store.outbox = [row(1), row(2)]
    script = lambda name, key, call: status if key == "k1" else 200  # noqa: E731  # one line says it
    _, figures = play(store, script, seconds=5, on_dead=lambda one, error: dead.append((one.id, error)))
    assert dead == [(1, f"answered {status}: words")]
    assert ("done", 2, "") in store.outbox_log
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="dead") == 1


def test_a_day_without_success_is_the_end():
    """After 24 h a notification is dead with the last error."""
    store, dead = FakeStore(), []
    store.outbox = [row(1)]
    sent, _ = play(store, lambda *_: 503, seconds=90_000, on_dead=lambda one, error: dead.append(one.id))
    assert dead == [1]
    assert 86_400 <= sent[-1][0] < 86_400 + 301
    assert store.outbox == []


def test_a_broken_notifier_does_not_starve_another():
    """Hundreds that wait for a broken one leave room on the page."""
    store = FakeStore()
    store.outbox = [*(row(number, "broken") for number in range(1, 501)), row(501, "ops")]
    script = lambda name, key, call: 503 if name == "broken" else 200  # noqa: E731  # one line says it
    sent, _ = play(
        store, script, seconds=20, notifiers=("broken", "ops"), options=OutboxOptions(page=50, poll_seconds=1.0)
    )
    assert [key for _, name, key in sent if name == "ops"] == ["k501"]


def test_a_slow_notifier_does_not_delay_another():
    """Each has its own task."""

    class Slow(FakeTransport):
        async def send(self, wire, options):
            if "slow" in wire.url:
                await asyncio.sleep(100)
            return await super().send(wire, options)

    store, times = FakeStore(), []

    def script(wire, call):
        times.append((asyncio.get_running_loop().time(), wire.url))
        return HttpReply(200, {}, b"")

    store.outbox = [row(1, "slow"), row(2, "ops"), row(3, "ops")]
    play(store, None, seconds=1, notifiers=("slow", "ops"), transport=Slow(script))
    assert [(round(at), url) for at, url in times] == [
        (0, "http://ops/"),
        (0, "http://ops/"),
        (100, "http://slow/"),
    ]


def test_what_is_no_longer_wanted_is_not_sent():
    """An alert that moved on ends its late notification."""
    store = FakeStore()
    store.outbox = [row(1), row(2)]
    sent, figures = play(store, lambda *_: 200, seconds=1, wanted=lambda one, now_ms: one.key != "k1")
    assert [key for _, _, key in sent] == ["k2"]
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="unwanted") == 1
    assert (store.outbox, store.outbox_log[0]) == ([], ("unsent", 1, ""))


def test_bugs_missing_notifiers_and_unreadable_rows():
    """A bug waits and tells its type alone; an unknown notifier waits; an unreadable row is dead."""
    store = FakeStore()
    store.outbox = [
        row(1, "buggy", rule="bug"),
        row(2, "gone"),
        OutboxRow(3, "ops", "k3", b"{not json", BASE_MS, BASE_MS),
    ]
    play(store, lambda *_: 200, seconds=30, notifiers=("ops", "buggy"))
    log = {number: (what, error) for what, number, error in store.outbox_log}
    assert log[1] == ("retry", "the notifier's code failed: RuntimeError")
    assert log[2][0] == "retry"
    assert "add gone" in log[2][1]
    assert log[3][0] == "dead"


def test_a_reload_tries_a_changed_notifier_at_once():
    """Its back-off is forgotten; rows at hand go to the new one."""
    store = FakeStore()
    store.outbox = [row(1)]
    urls = []

    async def scenario():
        def answer(wire, call):
            urls.append(wire.url)
            return HttpReply(401 if "old" in wire.url else 200, {}, b"")

        worker = OutboxWorker(
            store,
            {"ops": TestChannel("old")},
            transport=FakeTransport(answer),
            clock=LoopClock(),
            metrics=Figures(),
        )
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(5)
        worker.apply({"ops": TestChannel("new")})
        await asyncio.sleep(1)
        worker.stop()
        await task

    run_virtual(scenario())
    assert urls == ["http://old/", "http://new/"]


def test_a_failed_store_ends_the_worker():
    """It is not taken for a notifier's bug."""

    class Failing(FakeStore):
        async def outbox_done(self, ids, *, memory=None, sent=True):
            raise StoreFailed("flush failed")

    store = Failing()
    store.outbox = [row(1)]
    with pytest.raises(BaseExceptionGroup) as caught:
        play(store, lambda *_: 200, seconds=1)
    assert caught.group_contains(StoreFailed)


GROUP = '{"project":"web"}'


def test_a_group_goes_as_one_message():
    """All that waits of it, each alert as it was last; every attempt is the same message; others go alone."""
    store = FakeStore()
    store.outbox = [
        row(1, group=GROUP, fingerprint="a"),
        row(2, group=GROUP, fingerprint="b"),
        row(3, group=GROUP, fingerprint="a"),
        row(4, fingerprint="c"),
    ]
    sent, figures = play(store, lambda name, key, call: 503 if call == 1 else 200, seconds=60)
    assert [key for _, _, key in sent] == ["k2+k3", "k2+k3", "k4"]
    assert store.outbox == []
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="accepted") == 4


def test_what_began_and_ended_within_one_message_is_not_told():
    """Its end would be news of nothing; of what was told before, the end is told, after a reminder too."""
    store = FakeStore()
    store.outbox = [
        row(1, group=GROUP, fingerprint="a"),
        row(2, group=GROUP, fingerprint="b", reason="repeat"),
        row(3, group=GROUP, fingerprint="a", state="resolved"),
        row(4, group=GROUP, fingerprint="b", state="resolved"),
    ]
    sent, _ = play(store, lambda *_: 200, seconds=1)
    assert [key for _, _, key in sent] == ["k4"]
    assert store.outbox == []


def test_the_end_goes_with_a_beginning_that_nobody_wants():
    """Never resolved without firing, also where the receiver was down until both were old."""
    store = FakeStore()
    store.outbox = [
        row(1, fingerprint="a"),
        row(2, fingerprint="b"),
        row(3, fingerprint="a", state="resolved"),
        row(4, fingerprint="a"),
    ]
    sent, _ = play(store, lambda *_: 200, seconds=1, wanted=lambda one, now_ms: one.key != "k1")
    assert [key for _, _, key in sent] == ["k2", "k4"]
    assert [one for one in store.outbox_log if one[0] == "unsent"] == [("unsent", 1, ""), ("unsent", 3, "")]


def test_a_channel_without_groups_gets_each_by_itself():
    """Some vendors take one alert a request."""

    class Alone(TestChannel):
        __test__ = False
        grouped = False

    store = FakeStore()
    store.outbox = [row(1, group=GROUP, fingerprint="a"), row(2, group=GROUP, fingerprint="b")]
    sent, _ = play(store, lambda *_: 200, seconds=1, channel=Alone)
    assert [key for _, _, key in sent] == ["k1", "k2"]


def test_a_notifier_remembers_what_it_sent_of_a_group():
    """The next message of the group has it; another group does not."""

    class Remembering(TestChannel):
        __test__ = False

        def interpret(self, reply, message):
            return {"ts": message.key}

    store = FakeStore()
    store.outbox = [row(1, fingerprint="a"), row(2, fingerprint="b"), row(3, fingerprint="a")]
    sent, _ = play(store, lambda *_: 200, seconds=1, channel=Remembering)
    assert [key for _, _, key in sent] == ["k1", "k2", "k3?k1"]


def test_a_digest_is_a_message_of_its_own():
    """It has no alert; the notifier gets the text."""

    class Reader(TestChannel):
        __test__ = False

        def encode(self, message, *, now_ms):
            return HttpRequest("POST", f"http://{self.name}/", (), message.digest.title.encode())

    store = FakeStore()
    digest = Digest("d1", "Friday", 0, 1, "*hello*", "<b>hello</b>")
    store.outbox = [OutboxRow(1, "ops", "d1", payload_of(digest), BASE_MS, BASE_MS)]
    sent, _ = play(store, lambda *_: 200, seconds=1, channel=Reader)
    assert [key for _, _, key in sent] == ["Friday"]
    assert store.outbox == []


def test_a_forgetful_far_side_is_told_again():
    """Each period, from what was remembered, also after a restart; what it says is over is forgotten."""

    class Forgetful:
        __test__ = False
        grouped = digests = False
        transport = TransportOptions()
        refresh_seconds = 60.0

        def __init__(self, name):
            self.name = name

        async def send(self, message, *, now_ms, http):
            await http(HttpRequest("POST", f"http://{self.name}/", (), b"first"))
            return {"rule": message.notifications[0].rule}

        async def refresh(self, memories, *, now_ms, open_alerts, http):
            body = ",".join(f"{thread}:{memory['rule']}:{open_alerts(thread)}" for thread, memory in memories.items())
            await http(HttpRequest("POST", f"http://{self.name}/", (), body.encode()))
            return [thread for thread in memories if not open_alerts(thread)]

        async def reach(self, http):
            raise AssertionError

    store = FakeStore()
    store.outbox = [row(1, fingerprint="a"), row(2, fingerprint="b", rule="x")]
    store.memory["ops", "over"] = {"rule": "y"}
    sent, _ = play(store, lambda *_: 200, seconds=130, channel=Forgetful, is_open=lambda one: one != "over")
    assert [round(at) for at, _, _ in sent] == [0, 0, 0, 60, 120]
    assert [body for _, _, body in sent][-2:] == ["a:slow:True,b:x:True"] * 2
    assert "over:y:False" in [body for _, _, body in sent][:3]


def test_a_refresh_that_fails_harms_nobody():
    """Messages go on; the next period tries again."""

    class Broken(TestChannel):
        __test__ = False
        refresh_seconds = 60.0

        async def refresh(self, memories, *, now_ms, open_alerts, http):
            raise RuntimeError("hunter2")

    store = FakeStore()
    store.memory["ops", "over"] = {"rule": "y"}
    store.outbox = [row(1)]
    sent, _ = play(store, lambda *_: 200, seconds=200, channel=Broken)
    assert [key for _, _, key in sent] == ["k1"]


def test_a_message_that_the_code_cannot_send_waits_alone():
    """Others of the notifier pass it, what follows of its alert does not; it is tried more and more rarely."""
    store, tries = FakeStore(), []

    class Picky(TestChannel):
        __test__ = False

        def encode(self, message, *, now_ms):
            if message.key == "k1":
                tries.append(round(asyncio.get_running_loop().time()))
            if message.key == "k1" and len(tries) < 4:
                raise UnicodeEncodeError("ascii", "ö", 0, 1, "hunter2")
            return super().encode(message, now_ms=now_ms)

    store.outbox = [
        row(1, fingerprint="a"),
        row(2, fingerprint="b"),
        row(3, fingerprint="a", state="resolved"),
        row(4, group=GROUP, fingerprint="c"),
    ]
    sent, figures = play(store, lambda *_: 200, seconds=500, channel=Picky)
    assert [(round(at), key) for at, _, key in sent] == [(0, "k2"), (0, "k4"), (420, "k1"), (420, "k3")]
    assert tries == [0, 60, 180, 420]
    assert store.outbox_log[0] == ("retry", 1, "the notifier's code failed: UnicodeEncodeError")
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="retried") == 3


def test_a_group_that_the_code_cannot_send_waits_together():
    """Another group and an alert by itself pass it; where each alert goes alone, so do others of the group."""

    class Alone(TestChannel):
        __test__ = False
        grouped = False

    given = [
        row(1, group=GROUP, fingerprint="a", rule="bug"),
        row(2, group='{"project":"api"}', fingerprint="b"),
        row(3, fingerprint="c"),
        row(4, group=GROUP, fingerprint="d"),
    ]
    for channel, keys in ((TestChannel, ["k2", "k3"]), (Alone, ["k2", "k3", "k4"])):
        store = FakeStore()
        store.outbox = list(given)
        sent, _ = play(store, lambda *_: 200, seconds=30, channel=channel)
        assert [key for _, _, key in sent] == keys


def test_what_waits_alone_is_given_up_after_a_day():
    """What follows of its alert goes then; the notifier's other messages never waited."""
    store, dead = FakeStore(), []
    store.outbox = [row(1, rule="bug"), row(2), row(3, fingerprint="b")]
    sent, _ = play(store, lambda *_: 200, seconds=91_000, on_dead=lambda one, error: dead.append(one.id))
    assert [key for _, _, key in sent] == ["k3", "k2"]
    assert 86_400 <= sent[1][0] <= 90_001
    assert (dead, store.outbox) == ([1], [])


def test_what_waits_alone_keeps_its_place_over_a_restart():
    """What follows of its alert is not read before it."""
    store = FakeStore()
    store.outbox = [row(1, rule="bug"), row(2)]
    for _ in range(2):
        assert play(store, lambda *_: 200, seconds=5)[0] == []
    assert [one.id for one in store.outbox] == [1, 2]


def test_a_reload_tries_what_waits_alone_at_once():
    """A new notifier may have mended it."""
    store, urls = FakeStore(), []
    store.outbox = [row(1, rule="bug")]

    class Mended(TestChannel):
        __test__ = False

        def encode(self, message, *, now_ms):
            return HttpRequest("POST", "http://new/", (), b"")

    async def scenario():
        def answer(wire, call):
            urls.append(wire.url)
            return HttpReply(200, {}, b"")

        worker = OutboxWorker(
            store,
            {"ops": TestChannel("old")},
            transport=FakeTransport(answer),
            clock=LoopClock(),
            metrics=Figures(),
        )
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(5)
        worker.apply({"ops": Mended("new")})
        await asyncio.sleep(1)
        worker.stop()
        await task

    run_virtual(scenario())
    assert urls == ["http://new/"]


class Reluctant(TestChannel):
    """Some people of the first message get it later, or never."""

    __test__ = False
    times = 2
    again = True

    def interpret(self, reply, message):
        if message.key == "k1" and self.times:
            self.times -= 1
            raise PartlyTaken("server refuses oncall@b: greylisted", again=self.again, memory={"ts": "m1"})
        return {"ts": message.key}


def test_what_some_have_not_got_is_sent_again_while_others_pass_it():
    """What follows of the same alert waits, so that nobody hears of its end first."""
    store = FakeStore()
    store.outbox = [row(1, fingerprint="a"), row(2, fingerprint="a", state="resolved"), row(3, fingerprint="b")]
    sent, figures = play(store, lambda *_: 200, seconds=200, channel=Reluctant)
    assert [(round(at), key) for at, _, key in sent] == [(0, "k1"), (0, "k3"), (60, "k1"), (180, "k1"), (180, "k2?k1")]
    assert store.outbox_log[0] == ("retry", 1, "server refuses oncall@b: greylisted")
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="accepted") == 3


def test_what_some_never_get_is_counted_and_the_rest_goes_on():
    """It leaves the outbox, what the notifier remembers is kept, and nothing waits."""

    class Final(Reluctant):
        __test__ = False
        again = False

    store = FakeStore()
    store.outbox = [row(1, fingerprint="a"), row(2, fingerprint="a")]
    sent, figures = play(store, lambda *_: 200, seconds=1, channel=Final)
    assert [key for _, _, key in sent] == ["k1", "k2?m1"]
    assert store.outbox_log == [("done", 1, ""), ("done", 2, "")]
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="partly") == 1
    assert figures.get("headgate_notifications_total", notifier="ops", outcome="accepted") == 1
