"""The Loki sink: streams, labels, metadata, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import orjson
import pytest
from pydantic import ValidationError
from tests.unit.deliver.driving import make_engine, running, until_drained
from tests.unit.deliver.fakes import BASE_MS, FakeSink, FakeStore, FakeTransport, LoopClock, run_virtual

from headgate.core.clock import Clock, ManualClock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, LogEntry
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.core.verdicts import SendResult
from headgate.deliver.transport import Wire
from headgate.sinks.loki import PLUGINS, PUSH, LokiConfig, LokiSignal
from headgate.testing.sink_harness import CONTEXT, NOW_MS, deliver, ids_of, make_batch, make_entry, send
from headgate.testing.sinks import FakeVendor
from headgate.testing.sinks.ledger import Ledger
from headgate.testing.sinks.vendors.loki import Loki, LokiOptions
from headgate.testing.sinks.wire import Reply, Request


def signal(*, clock: Clock = CONTEXT.clock, **settings: object) -> LokiSignal:
    """A signal that sends nowhere unless told."""
    config = LokiConfig.model_validate({"url": "http://127.0.0.1:1", **settings})
    return LokiSignal(config, clock, "headgate-test")


def streams(sender: LokiSignal, *batch: LogEntry) -> list[dict]:
    """What a push of these entries holds."""
    return orjson.loads(sender.encode(batch).body)["streams"]


def reply(status: int, text: str = "", **headers: str) -> HttpReply:
    """An answer of the server."""
    return HttpReply(status, headers, text.encode())


def test_the_line_is_the_stored_record() -> None:
    """Bytes are not changed on the way: quotes, backslashes and other alphabets come back as they were."""
    entry = make_entry(1, vcs__ref__head__name='Ünïcode "q" \\ \n 🚀')
    (stream,) = streams(signal(), entry)
    assert stream["values"][0][1].encode() == entry.body
    assert stream["values"][0][0] == f"{NOW_MS}000000"


def test_live_labels_are_few_and_metadata_carries_the_rest() -> None:
    """Labels come from the allow-list; ids, branch and job are structured metadata, text only."""
    (stream,) = streams(signal(), make_entry(1, vcs__ref__head__revision="abc"))
    assert stream["stream"] == {
        "service_name": "circleci",
        "record": "job",
        "project": "gh/acme/web",
        "outcome": "failure",
    }
    assert stream["values"][0][2] == {
        "record_id": make_entry(1).record_id,
        "status": "failure",
        "workflow": "build",
        "workflow_id": "00000000-0000-4000-8000-000000000000",
        "job": "unit",
        "job_id": "00000000-0000-4000-9000-000000000001",
        "branch": "main",
        "revision": "abc",
    }


def test_tags_are_metadata() -> None:
    """What rules said of a record can be asked for in LogQL, under a name that it takes, and is never a label."""
    (stream,) = streams(signal(), make_entry(1, tag__team="web", tag__cost__center="12"))
    found = stream["values"][0][2]
    assert (found["tag_team"], found["tag_cost_center"], found["job"]) == ("web", "12", "unit")
    assert not [name for name in stream["stream"] if name.startswith("tag")]


async def test_any_number_of_tags_is_taken_by_the_server() -> None:
    """They are bounded in number, and in length where the record is huge."""
    many = {f"tag__t{n:03d}": "x" * 100 for n in range(200)}
    huge = {f"tag__t{n:03d}": "é" * 3_000 for n in range(20)}
    batch = [make_entry(1, **many), make_entry(2, **huge)]
    with FakeVendor("loki", clock_ms=lambda: NOW_MS) as vendor:
        assert await send(signal(url=vendor.url), batch) == SendResult()
    first, second = (value[2] for stream in streams(signal(), *batch) for value in stream["values"])
    assert sum(name.startswith("tag_") for name in first) == 64
    assert (len(second["tag_t000"]), sum(name.startswith("tag_") for name in second)) == (250, 20)


def test_labels_can_be_left_out_and_added() -> None:
    """Without the project label the project is metadata; tags of the section are on every stream."""
    sender = signal(labels=[], tags={"cluster": "eu"}, service_name="ci")
    (stream,) = streams(sender, make_entry(1))
    assert stream["stream"] == {"cluster": "eu", "service_name": "ci", "record": "job"}
    assert stream["values"][0][2]["project"] == "gh/acme/web"


@pytest.mark.parametrize("kind", ["pipeline", "test_result", "usage", "alert"])
def test_only_runs_have_an_outcome(kind: str) -> None:
    """Kinds other than workflow and job get no outcome label, whatever their attributes say."""
    (stream,) = streams(signal(), make_entry(1, kind=kind))
    assert "outcome" not in stream["stream"]


@pytest.mark.parametrize("lane", ["backfill", "replay", "dead"])
def test_other_lanes_have_streams_of_their_own_hour(lane: str) -> None:
    """What is not live has a minimal label set and the hour of the record."""
    (stream,) = streams(signal(), make_entry(1, lane=lane))
    assert stream["stream"] == {"service_name": "circleci", "record": "job", "backfill": "2026-11-20T10"}
    assert stream["values"][0][2]["project"] == "gh/acme/web"


@pytest.mark.parametrize(("seconds", "own"), [(0, False), (1800, False), (1801, True), (90_000, True)])
def test_a_live_record_sent_late_goes_to_its_hour(seconds: int, own: bool) -> None:
    """A live stream takes nothing an hour behind, so a late record does not go there; half an hour is the line."""
    (stream,) = streams(signal(), make_entry(1, occurred_ms=NOW_MS - seconds * 1000))
    assert ("backfill" in stream["stream"]) is own


def test_a_request_is_good_until_a_line_of_a_shared_stream_is_old() -> None:
    """Before the live stream is an hour on, what could not be sent is encoded anew; hour streams wait for ever."""
    young, old = (make_entry(n, occurred_ms=NOW_MS - n * 20 * MINUTE_MS) for n in (1, 2))
    assert signal().encode([*make_batch(2), young, old]).good_until_ms == NOW_MS + 25 * MINUTE_MS
    assert signal().encode([old, *make_batch(2, lane="backfill")]).good_until_ms is None


class Far(FakeTransport):
    """The fake server in the loop's own time, with a 429 for those whose turn is in `refused`, or for all while `down`.

    `answers`: statuses, in order.
    """

    def __init__(self, *refused: int) -> None:
        super().__init__(self._answer)
        self.refused, self.down = refused, False
        self.answers: list[int] = []
        self.ledger = Ledger(LoopClock().now_ms)
        self._loki: Loki | None = None

    def _answer(self, wire: Wire, call: int) -> HttpReply:
        del call
        self._loki = self._loki or Loki(LokiOptions(), self.ledger)
        told = Reply(429)
        if not self.down and len(self.answers) not in self.refused:
            told = self._loki.handle(Request(wire.method, PUSH, {}, dict(wire.headers), wire.body))
        self.answers.append(told.status)
        return HttpReply(told.status, told.headers, told.body)

    def ids(self) -> list[str]:
        """Records held, each as often as it is."""
        return sorted(str(row.record_id) for row in self.ledger.rows())


def backlog(count: int, *, since_ms: int, until_ms: int) -> list[LogEntry]:
    """Live jobs of one project, evenly spread."""
    step = (until_ms - since_ms) / count
    return [make_entry(n, occurred_ms=round(since_ms + n * step)) for n in range(1, count + 1)]


def test_a_live_backlog_of_half_a_day_is_taken_in_any_order() -> None:
    """Of two requests in flight the first is refused for a while: what comes after it is not in its way."""
    rows = backlog(2_400, since_ms=BASE_MS - 12 * HOUR_MS, until_ms=BASE_MS)
    store, far = FakeStore(live=rows), Far(0)

    async def scenario() -> None:
        sink = FakeSink("loki", signal(clock=LoopClock(), batch_records=1_200))
        async with running(make_engine(store, sink, transport=far)) as engine:
            await until_drained(engine)

    run_virtual(scenario())
    assert far.answers == [429, *[204] * (len(far.answers) - 1)]
    assert store.dead == []
    assert far.ids() == sorted(ids_of(rows))


def test_what_was_encoded_before_an_outage_is_taken_after_it() -> None:
    """Fresh lines that Loki could not take for hours are not in the live streams' way, nor these in theirs."""
    first = backlog(32, since_ms=BASE_MS - MINUTE_MS, until_ms=BASE_MS)
    later = [make_entry(n, occurred_ms=BASE_MS + (n - 32) * 11 * MINUTE_MS) for n in range(33, 49)]
    store, far = FakeStore(live=first), Far()
    far.down = True

    async def scenario() -> None:
        sink = FakeSink("loki", signal(clock=LoopClock(), batch_records=16))
        async with running(make_engine(store, sink, transport=far)) as engine:
            await asyncio.sleep(3 * 3600)
            store.log["live"] += later
            far.down, far.refused = False, (len(far.answers) + 1,)
            await until_drained(engine)

    run_virtual(scenario())
    assert far.answers[-5:] == [204, 429, 204, 204, 204]
    assert store.dead == []
    assert far.ids() == sorted(ids_of(first + later))


def test_lines_of_a_stream_are_in_order_of_time() -> None:
    """Entries of one stream are sorted within a request, streams are in the order of the batch."""
    late, early = make_entry(2, occurred_ms=NOW_MS), make_entry(1, occurred_ms=NOW_MS - 5)
    other = make_entry(3, project="gh/acme/api")
    found = streams(signal(), late, other, early)
    assert [stream["stream"]["project"] for stream in found] == ["gh/acme/web", "gh/acme/api"]
    assert [value[0] for value in found[0]["values"]] == [f"{NOW_MS - 5}000000", f"{NOW_MS}000000"]


def test_attributes_of_an_unforeseen_type_are_left_out_of_metadata() -> None:
    """Loki takes text only; a number where text belongs costs the metadata entry, not the record."""
    (stream,) = streams(signal(), make_entry(1, vcs__ref__head__name=7, headgate__status=True))
    assert "branch" not in stream["values"][0][2]
    assert "outcome" not in stream["stream"]
    assert stream["values"][0][2]["job"] == "unit"


def test_metadata_of_a_huge_record_is_cut() -> None:
    """A branch of 70 kB would break the server's 64 KiB of metadata; the line keeps it whole."""
    entry = make_entry(1, vcs__ref__head__name="b" * 70_000)
    (stream,) = streams(signal(), entry)
    assert len(stream["values"][0][2]["branch"]) == 1_000
    assert stream["values"][0][1].encode() == entry.body


def test_the_tenant_and_the_shard_are_headers() -> None:
    """The shard is sent only when nothing in the batch is live."""
    sender = signal(tenant="acme", backfill_shard="one")
    live = dict(sender.encode(make_batch(1)).headers)
    old = dict(sender.encode(make_batch(1, lane="backfill")).headers)
    assert (live["x-scope-orgid"], live["content-type"]) == ("acme", "application/json")
    assert "x-loki-backfill-shard" not in live
    assert old["x-loki-backfill-shard"] == "one"
    assert sender.destination == "http://127.0.0.1:1/loki/api/v1/push (tenant acme)"


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://user:pw@loki:3100"},
        {"url": "loki:3100"},
        {"url": "http://loki:3100?x=1"},
        {"tags": {"record": "x"}},
        {"tags": {"a.b": "x"}},
        {"tags": {f"l{n}": "x" for n in range(11)}},
        {"labels": ["branch"]},
        {"backfill_shard": "x" * 129},
        {"bearer_token": "a", "basic_auth": {"user": "u", "password": "p"}},
        {"headers": {"x-a": "two\nlines"}},
        {"headers": {"x a": "one"}},
        {"bearer_token": "schlüssel"},
        {"basic_auth": {"user": "a:b", "password": "p"}},
        {"tenant": "two\nlines"},
        {"tenant": ""},
        {"backfill_shard": "two words"},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, object]) -> None:
    """Unbounded labels, secrets in the address and broken headers stop the start."""
    with pytest.raises(ValidationError):
        LokiConfig.model_validate({"url": "http://127.0.0.1:1", **settings})


@pytest.mark.parametrize("status", [200, 204])
def test_success_is_200_and_204(status: int) -> None:
    """Both statuses mean that every line is stored."""
    assert signal().interpret(reply(status), make_batch(2)) == SendResult()


def test_260_is_a_slow_retry() -> None:
    """An operator has blocked ingestion: a 2xx that is not success."""
    with pytest.raises(SinkUnavailable) as caught:
        signal().interpret(reply(260, "ingestion blocked for user 'fake'"), make_batch(2))
    assert caught.value.retry_after == 60.0


def test_a_web_page_is_not_success() -> None:
    """A login page in front of Loki answers 200; believing it would lose records."""
    with pytest.raises(SinkRefused) as caught:
        signal().interpret(reply(200, "<html>", **{"content-type": "text/html"}), make_batch(1))
    assert caught.value.reason == "config"


OLD = (
    "entry for stream '{record=\"job\"}' has timestamp too old: 2026-11-13T00:00:00Z, oldest acceptable timestamp is: "
)
NEW = "entry for stream '{record=\"job\"}' has timestamp too new: "
LONG = "max entry size '{}' bytes exceeded for stream '{{record=\"job\"}}' while adding an entry with length '9' bytes"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (OLD + "2026-11-20T10:00:00Z", {0: "too_old"}),
        (f"1 errors like: {OLD}2026-11-20T10:00:00Z\n", {0: "too_old"}),
        (NEW + "2026-11-20T10:02:10Z", {2: "too_new"}),
        (f"{OLD}2026-11-20T10:00:00Z; {NEW}2026-11-20T10:02:10Z", {0: "too_old", 2: "too_new"}),
        (f"{NEW}2026-11-20T10:02:10Z; {OLD}2026-11-20T10:00:00Z", {0: "too_old", 2: "too_new"}),
        (LONG.format(1_000), {1: "too_long"}),
        (f"{LONG.format(1_000)}; {OLD}2026-11-20T10:00:00Z", {0: "too_old", 1: "too_long"}),
    ],
)
def test_refused_lines_are_found_where_the_text_is_exact(text: str, wanted: dict[int, str]) -> None:
    """A bound of time or length that explains every refusal names the lines; the others were stored."""
    batch = [
        make_entry(1, occurred_ms=NOW_MS - 10 * MINUTE_MS),
        make_entry(2, occurred_ms=NOW_MS - 1, vcs__ref__head__name="b" * 1_000),
        make_entry(3, occurred_ms=NOW_MS),
    ]
    result = signal().interpret(reply(400, text), batch)
    assert {index: reject.reason for index, reject in result.rejected.items()} == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"2 errors like: {OLD}2026-11-20T10:00:00Z", "too_old"),
        (f"{OLD}2026-11-20T10:00:00Z; something new", "too_old"),
        (f"{OLD}yesterday", "too_old"),
        (f"{NEW}2027-01-01T00:00:00Z", "too_new"),
        ("entry with timestamp 2026 ignored, reason: 'entry too far behind, ...'", "too_far_behind"),
        ("user 'fake', total ignored: 1 out of 3 for stream: {}", "ignored"),
        ("couldn't parse push request", "refused"),
        ("error at least one label pair is required per stream", "refused"),
        ("", "refused"),
    ],
)
def test_what_the_text_does_not_name_exactly_is_bisected(text: str, reason: str) -> None:
    """A count that does not fit, an unknown clause or an unreadable time: halving finds the lines instead."""
    batch = [make_entry(n, occurred_ms=NOW_MS - 10 * MINUTE_MS * (n == 1)) for n in (1, 2, 3)]
    with pytest.raises(BatchRejected) as caught:
        signal().interpret(reply(400, text), batch)
    assert caught.value.reason == reason


async def test_bad_lines_among_good_ones_are_found_and_nothing_is_lost() -> None:
    """Against the strict fake: too old, too new and too long lines are rejected, all others stored once."""
    batch = make_batch(40)
    bad = {
        5: make_entry(105, occurred_ms=NOW_MS - 8 * DAY_MS, lane="backfill"),
        11: make_entry(111, occurred_ms=NOW_MS + HOUR_MS),
        17: make_entry(117, vcs__ref__head__name="b" * 262_200),
        29: make_entry(129, occurred_ms=NOW_MS + 2 * HOUR_MS),
    }
    for index, entry in bad.items():
        batch[index] = entry
    good = sorted(entry.record_id for index, entry in enumerate(batch) if index not in bad)
    with FakeVendor("loki", clock_ms=lambda: NOW_MS) as vendor:
        done = await deliver(signal(url=vendor.url), batch)
        assert sorted(map(str, vendor.record_ids())) == good
    assert sorted(done.accepted) == good
    assert {reject.reason for reject in done.rejected.values()} == {"too_old", "too_new", "too_long"}
    assert sorted(done.rejected) == sorted(entry.record_id for entry in bad.values())


async def test_a_line_too_far_behind_is_found_by_halving() -> None:
    """An ingester names the last stream alone, so its refusals are never trusted for single lines."""
    with FakeVendor("loki", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal(url=vendor.url, clock=ManualClock(NOW_MS - 2 * HOUR_MS))
        assert await send(sender, make_batch(1)) == SendResult()
        batch = [*make_batch(6, first=10), make_entry(50, occurred_ms=NOW_MS - 2 * HOUR_MS)]
        done = await deliver(sender, batch)
        assert sorted(done.accepted) == sorted(ids_of(batch[:-1]))
        assert [reject.reason for reject in done.rejected.values()] == ["too_far_behind"]


async def test_a_backfill_in_any_order_is_taken() -> None:
    """Six days of records, newest day first and shuffled inside the day, beside live ones: none is refused."""
    live = make_batch(5)
    old = [
        make_entry(100 + n, lane="backfill", occurred_ms=NOW_MS - (n * 7919 % (6 * DAY_MS // 60_000)) * 60_000)
        for n in range(300)
    ]
    with FakeVendor("loki", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal(url=vendor.url)
        for batch in (live, old[:150], make_batch(5, first=20), old[150:]):
            assert await send(sender, batch) == SendResult()
        assert len(vendor.record_ids()) == 310


async def test_a_replayed_backfill_is_folded() -> None:
    """The stream of a record that is not live is a function of the record: sent twice it is stored once."""
    with FakeVendor("loki", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal(url=vendor.url)
        assert await send(sender, make_batch(5, lane="backfill")) == SendResult()
        assert await send(sender, make_batch(5, lane="replay")) == SendResult()
        assert len(vendor.record_ids()) == 5


async def test_what_became_late_before_it_is_sent_again_is_taken() -> None:
    """After a reset, or a crash, it is there a second time, in the stream of its hour, and no dead letter."""
    clock = ManualClock(NOW_MS)
    with FakeVendor("loki", clock_ms=clock.now_ms) as vendor:
        sender = signal(url=vendor.url, clock=clock)
        assert await send(sender, make_batch(5)) == SendResult()
        clock.advance(2 * 3600)
        assert await send(sender, [make_entry(9, occurred_ms=clock.now_ms())]) == SendResult()
        assert await send(sender, make_batch(5)) == await send(sender, make_batch(5)) == SendResult()
        assert sorted(map(str, vendor.record_ids())) == sorted([*ids_of(make_batch(5)) * 2, make_entry(9).record_id])


def test_streams_stay_bounded() -> None:
    """A month of backfill has at most one stream per hour and kind, however many projects there are."""
    by_labels: dict[str, int] = defaultdict(int)
    batch = [
        make_entry(n, lane="backfill", project=f"gh/acme/p{n}", occurred_ms=NOW_MS - n * HOUR_MS // 2)
        for n in range(1440)
    ]
    for stream in streams(signal(), *batch):
        by_labels[str(stream["stream"])] += 1
    assert len(by_labels) <= 721


async def test_check_knows_what_is_no_loki() -> None:
    """Another product at the address is named, and a Loki that is still starting is not ready."""
    with FakeVendor("http") as other:
        sink = PLUGINS[0].build("x", LokiConfig(url=other.url), CONTEXT)
        (result,) = await sink.check()
        assert (result.ok, result.reason) == (False, "wrong_product")
        other.answer(status=200, body={"greeting": "Hello"}, store=False)
        (result,) = await sink.check()
        assert (result.reason, "Hello" in result.fix) == ("wrong_product", True)
    with FakeVendor("loki") as vendor:
        sink = PLUGINS[0].build("x", LokiConfig(url=vendor.url), CONTEXT)
        vendor.answer(status=503, body="Ingester not ready: waiting for 15s", path="/ready")
        (result,) = await sink.check()
        assert (result.ok, result.reason) == (False, "not_ready")
