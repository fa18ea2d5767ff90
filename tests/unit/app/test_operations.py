"""Operations over the store in memory, and the same through the API: both say the same."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from headgate.app import reportdesk
from headgate.app.audits import silences
from headgate.app.operations import StoreOperations
from headgate.app.remote import RemoteOperations, Unreachable
from headgate.app.running import Running
from headgate.app.shelf import Keep, Shelf
from headgate.app.telemetry import Telemetry
from headgate.app.views import ways_of
from headgate.collect.audit_state import AuditMark, Silence, Tally
from headgate.collect.requests import BACKFILLS, BackfillRequest
from headgate.core.clock import ManualClock
from headgate.core.ports import Delivery, Limits
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import Explained, GapRow, MergeWork, OutcomeCounts, Outcomes, SignalSpec
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.core.verdicts import Reject
from headgate.insights.views.report import report_page
from headgate.store import SqliteStore
from headgate.testing.store_data import pipeline, workflow
from headgate.web.api import build_app
from headgate.web.exports import add_exports
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages, ci_page
from headgate.web.operations import (
    Asked,
    ChosenDeliveries,
    ChosenLetters,
    NewSilence,
    Order,
    Problem,
    WantedExport,
    WantedReport,
)
from headgate.web.rendering import Templates
from headgate.web.site.delivery import live_part


class Health:
    """Always well."""

    async def alive(self) -> str | None:
        return None

    def ready(self) -> str | None:
        return None


@pytest.fixture
async def store(tmp_path: Any) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "x.db", clock=ManualClock(), metrics=Telemetry())
    await made.open()
    await made.accept([Delivery("circleci", 1, "job-completed", "application/json", b"not json")])
    [row] = await made.inbox(10)
    work = MergeWork("circleci", (), ReleasePolicy(), now_ms=1, live_after_ms=0, inbox_dead=[(row.id, "not_json")])
    await made.merge_and_release(work)
    await made.open_signals([SignalSpec("loki", "logs", "http://loki")], now_ms=1)
    yield made
    await made.close()


@pytest.fixture
async def both(store: SqliteStore) -> AsyncIterator[tuple[StoreOperations, RemoteOperations]]:
    direct = StoreOperations(store, ManualClock(), Running(sources=lambda: {"circleci": None}))
    app = build_app(direct, Health(), MetricPages(lambda: b"", lambda name: ci_page({}, name)), version="0")
    add_insights(app, direct.lens)
    add_exports(app, direct, direct.lens)
    remote = RemoteOperations("http://127.0.0.1", "token", httpx.ASGITransport(app))
    yield direct, remote
    await remote.aclose()


def sized(status: dict[str, Any]) -> dict[str, Any]:
    """A status that says of the file's size only whether there is one: a checkpoint grows it any time."""
    return status | {"store": status["store"] | {"bytes": status["store"]["bytes"] > 0}}


async def test_both_ways_give_the_same_answers(both: tuple[StoreOperations, RemoteOperations]) -> None:
    """Every question."""
    direct, remote = both
    assert sized(await direct.status()) == sized(await remote.status())
    first, second = await direct.overview(), await remote.overview()
    assert first | {"status": sized(first["status"])} == second | {"status": sized(second["status"])}
    assert await direct.runs(5, None) == await remote.runs(5, None) == []
    assert await direct.history(0, 10, None, 9) == await remote.history(0, 10, (1, "w"), 9) == []
    ends = {"records": [], "after": {"live": 0, "backfill": 0}}
    assert await direct.tail({}, 5) == await direct.tail({"live": 0}, 5) == await remote.tail({"live": 0}, 5) == ends
    assert await direct.dead_letters(None, (), 5) == await remote.dead_letters(None, (1,), 5) == []
    for words in ((5,), (5, (1,)), (5, (1, 2), 2), (5, (2,))):
        assert await direct.dead_deliveries(*words) == await remote.dead_deliveries(*words)
    assert await direct.history(0, 10, None, 9, "jobs") == await remote.history(0, 10, (1, "w"), 9, "jobs") == []
    assert await direct.alert_history("f", 5) == await remote.alert_history("f", 5) == []
    assert await direct.alerts() == await remote.alerts() == []
    asked = Asked("success_rate", ("project", "team"), ("branch=main",), window="30d", step="1d")
    assert await direct.query(asked) == await remote.query(asked)


async def test_what_is_not_there_is_refused_both_ways(both: tuple[StoreOperations, RemoteOperations]) -> None:
    """A project, and a signal of which no dead letter is kept, rather than an empty list."""
    for ask in both:
        with pytest.raises(Problem, match="'gh/acme/web' is not known"):
            await ask.runs(5, "gh/acme/web")
        with pytest.raises(Problem, match=r"no sink called nope\.logs; known: "):
            await ask.dead_letters("nope.logs", (), 5)


async def test_files_are_the_same_both_ways(both: tuple[StoreOperations, RemoteOperations]) -> None:
    """Tables as their bytes, reviews as their HTML; what is refused is told alike."""
    for form in ("csv", "json", "jsonl"):
        wanted = WantedExport("runs", form, {"window": ("30d",)})
        direct, remote = [b"".join([chunk async for chunk in ask.export(wanted)]) for ask in both]
        assert (direct, form != "csv" or direct.startswith(b"id,project,")) == (remote, True)
    pages = [await ask.report(WantedReport("week", "2026-11-20")) for ask in both]
    assert (pages[0], "CI week 2026-11-09 to 2026-11-16" in pages[0]) == (pages[1], True)
    for ask in both:
        with pytest.raises(Problem, match=r"no table is called 'rnus'; did you mean runs\?; valid: runs"):
            await anext(ask.export(WantedExport("rnus", "csv")))
        with pytest.raises(Problem, match=r"table runs does not take 'projct'"):
            await anext(ask.export(WantedExport("runs", "csv", {"projct": ("x",)})))
        with pytest.raises(Problem, match="not known"):
            await ask.report(WantedReport("month", projects=("gh/acme/none",)))
        with pytest.raises(Problem, match="is not a time"):
            await ask.report(WantedReport("month", "soon"))
        assert await ask.saved_reports() == []
        with pytest.raises(Problem, match=r"there is no report weekly/x\.html"):
            await ask.saved_report("weekly", "x.html")


async def test_a_review_that_many_open_is_made_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a minute, for each period and what it is of; after that anew."""
    made = []

    async def counted(*words: Any, **more: Any) -> Any:
        made.append(more["of"].projects)
        return await report_page(*words, **more)

    monkeypatch.setattr(reportdesk, "report_page", counted)
    ask = StoreOperations(store, ManualClock(DAY_MS * 20_000), Running(sources=dict))
    pages = await asyncio.gather(*(ask.report(WantedReport("week")) for _ in range(20)))
    assert (1, [()]) == (len(set(pages)), made)
    await ask.report(WantedReport("month"))
    assert [(), ()] == made
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda now=time.monotonic: now() + 61.0)
    await ask.report(WantedReport("week"))
    assert [(), (), ()] == made


async def test_saved_reports_are_listed_and_read(store: SqliteStore, tmp_path: Any) -> None:
    """Only files of the report, whatever else is asked for; a directory that cannot be read is told."""
    shelf = Shelf(tmp_path, "weekly", ("html",), Keep(count=9))
    names = [shelf.file(0, at, "html").name for at in (DAY_MS, 2 * DAY_MS)]
    for name in (*names, "secret.html"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    shelves = {"weekly": shelf, "gone": replace(shelf, folder=tmp_path / "gone")}
    ask = StoreOperations(store, ManualClock(), Running(shelves=lambda: shelves))
    assert [one["file"] for one in await ask.saved_reports()] == names[::-1]
    assert await ask.saved_report("weekly", names[0]) == names[0]
    for name, file in (("weekly", "secret.html"), ("weekly", f"../{tmp_path.name}/{names[0]}"), ("other", names[0])):
        with pytest.raises(Problem, match="there is no report"):
            await ask.saved_report(name, file)


async def test_a_file_that_is_not_written_is_a_hint(store: SqliteStore) -> None:
    """With why, and when it is tried again."""
    state = {"last_at": None, "file": None, "bytes": None, "next_at": "T", "problem": "/x: No space left on device"}
    ask = StoreOperations(store, ManualClock(), Running(files=lambda: {"exports.nightly": state}))
    overview = await ask.overview()
    assert overview["status"]["files"] == {"exports.nightly": state}
    assert "exports.nightly is not written: /x: No space left on device; next try T" in overview["hints"]


async def test_an_unreadable_webhook_is_shown_with_its_reason(both: tuple[StoreOperations, RemoteOperations]) -> None:
    """In the list, and as a number in status."""
    direct, _ = both
    [found] = await direct.dead_deliveries(5)
    assert ("not_json", "not json") == (found["reason"], found["body"])
    assert (await direct.status())["inbox"] == {"waiting": 0, "dead": 1, "waiting_for_source": {}}


async def test_actions_through_both(both: tuple[StoreOperations, RemoteOperations], tmp_path: Any) -> None:
    """Reset, purge, requeue, backup."""
    for index, ask in enumerate(both):
        assert await ask.reset_sink("loki", "now") == ["loki.logs"]
        assert await ask.replay_dead(ChosenLetters((5,))) == 0
        assert await ask.purge_dead(ChosenLetters((5,))) == 0
        done = await ask.backup(str(tmp_path / f"copy-{index}.db"))
        assert done["bytes"] > 0


async def test_all_dead_letters_are_chosen_however_many_there_are(
    both: tuple[StoreOperations, RemoteOperations], store: SqliteStore
) -> None:
    """By reason, by signal, or all; more than any one answer lists, and each page of a list follows the one before."""
    seen = [pipeline(), *(workflow(f"w-{number}") for number in range(2_300))]
    await store.merge_and_release(MergeWork("circleci", seen, ReleasePolicy("none"), now_ms=1, live_after_ms=0))
    entries = await store.read_log("loki.logs", "live", 0, limit=3_000, max_bytes=1 << 30)
    dead = [(one, Reject("odd" if one.seq % 100 == 0 else "refused"), 1) for one in entries]
    await store.record_outcomes([Outcomes("loki.logs", "live", entries[-1].seq, dead=dead, at_ms=2)])
    direct, remote = both
    first = await remote.dead_letters("loki.logs", (), 1_000)
    assert await direct.dead_letters("loki.logs", (), 1_000, first[-1]["id"]) == await remote.dead_letters(
        "loki.logs", (), 1_000, first[-1]["id"]
    )
    assert await remote.replay_dead(ChosenLetters(signal="loki.logs")) == len(entries) > 2_000
    assert await direct.replay_dead(ChosenLetters(reason="odd")) == len(entries) // 100
    assert await remote.purge_dead(ChosenLetters(signal="loki.logs", reason="odd")) == len(entries) // 100
    assert await remote.purge_dead(ChosenLetters(reason="odd")) == 0
    assert await direct.purge_dead(ChosenLetters(everything=True)) == len(entries) - len(entries) // 100
    for ask in both:
        with pytest.raises(Problem, match=r"no sink called nope\.logs; known: "):
            await ask.purge_dead(ChosenLetters(signal="nope.logs"))


async def test_what_is_sent_again_is_shown_and_refused_for_a_sink_that_is_gone(
    both: tuple[StoreOperations, RemoteOperations], store: SqliteStore
) -> None:
    """An open replay is in status; to a removed sink nothing can be sent, and a reset ends what was under way."""
    seen = [pipeline(), workflow("w-1"), workflow("w-2")]
    await store.merge_and_release(MergeWork("circleci", seen, ReleasePolicy("none"), now_ms=1, live_after_ms=0))
    [entry, *_] = await store.read_log("loki.logs", "live", 0, limit=9, max_bytes=1 << 30)
    await store.record_outcomes([Outcomes("loki.logs", "live", 1, dead=[(entry, Reject("bad"), 1)], at_ms=2)])
    for ask in both:
        assert (await ask.status())["sinks"]["loki"]["signals"]["logs"]["replay"] is None
        [opened] = await ask.replay("loki", 0, 1 << 45)
        assert (opened["total"], opened["done"]) == (2, 0)
        assert (await ask.status())["sinks"]["loki"]["signals"]["logs"]["replay"] == opened
        await ask.reset_sink("loki", "now")
    await store.open_signals([], now_ms=1)
    for ask in both:
        for asked in (
            ask.replay("loki", 0, 1 << 45),
            ask.replay("loki.logs", 0, 1 << 45),
            ask.replay_dead(ChosenLetters(everything=True)),
            ask.replay_dead(ChosenLetters((1,))),
        ):
            with pytest.raises(Problem, match=r"loki(\.logs)? was removed, nothing is sent to it: configure it again"):
                await asked
        assert await ask.reset_sink("loki", "now") == ["loki.logs"]


async def test_records_are_followed_without_a_gap_and_none_that_is_old(
    both: tuple[StoreOperations, RemoteOperations], store: SqliteStore
) -> None:
    """The first page is the newest of both lanes; what follows comes from the oldest on, whatever the lane."""
    pages = [await ask.tail({}, 5) for ask in both]

    async def release(first: int, last: int, *, old: bool) -> None:
        seen = [pipeline(), *(workflow(f"w-{number}") for number in range(first, last))]
        at_ms, live_ms = (1, 1 << 45) if old else (2, 0)
        work = MergeWork("circleci", seen, ReleasePolicy("none"), now_ms=at_ms, live_after_ms=live_ms)
        await store.merge_and_release(work)

    await release(0, 30, old=True)
    await release(30, 40, old=False)
    for ask, page in zip(both, pages, strict=True):
        found = []
        while (page := await ask.tail(page["after"], 7))["records"]:
            found += [(one["lane"], one["seq"]) for one in page["records"]]
        assert found[:8] == [*[("live", seq) for seq in range(1, 8)], *found[7:8]]
        assert sorted(found) == [("backfill", seq) for seq in range(1, 31)] + [("live", seq) for seq in range(1, 11)]
        newest = await ask.tail({}, 5)
        assert {one["lane"] for one in newest["records"]} == {"live"}
        assert (await ask.tail(newest["after"], 9))["records"] == [], "what is old already is not new"
    assert newest["after"] == {"live": 10, "backfill": 30}


async def test_webhooks_set_aside_are_shown_merged_again_and_given_up(
    both: tuple[StoreOperations, RemoteOperations], store: SqliteStore
) -> None:
    """In status and as a hint; by number, by source, and never all of them unsaid."""
    direct, remote = both
    await store.accept([Delivery("old", 2, "", "", b"a"), Delivery("old", 3, "", "", b"b")])
    await store.park_inbox([row.id for row in await store.inbox(9)], now_ms=4)
    overview = await remote.overview()
    assert overview["status"]["inbox"] == {"waiting": 0, "dead": 1, "waiting_for_source": {"old": 2}}
    assert overview["hints"][0].startswith("2 webhooks are waiting for source old: configure it again")
    with pytest.raises(Problem):
        await remote.purge_deliveries(ChosenDeliveries())
    assert await remote.replay_deliveries(ChosenDeliveries(reason="not_json")) == 1
    assert await direct.replay_deliveries(ChosenDeliveries((2,))) == 1
    assert await remote.purge_deliveries(ChosenDeliveries(source="old")) == 1
    assert (await direct.status())["inbox"] == {"waiting": 2, "dead": 0, "waiting_for_source": {}}
    assert any("of source old, purged, 1 of them" in hint for hint in (await remote.overview())["hints"])


@pytest.mark.parametrize("way", [0, 1], ids=["direct", "remote"])
async def test_problems_are_told_the_same_way(both: tuple[StoreOperations, RemoteOperations], way: int) -> None:
    """Unknown sink, empty range, relative backup, unknown workflow, no daemon to reload."""
    ask = both[way]
    with pytest.raises(Problem, match=r"no sink called lokki; known: loki"):
        await ask.reset_sink("lokki", "now")
    with pytest.raises(Problem, match="range is empty"):
        await ask.replay("loki", 5, 5)
    with pytest.raises(Problem, match="absolute path"):
        await ask.backup("relative.db")
    with pytest.raises(Problem, match="nothing is known about x"):
        await ask.explain("x")
    with pytest.raises(Problem, match="nothing is running here"):
        await ask.reload()


async def test_a_form_that_is_wrong_names_its_field(both: tuple[StoreOperations, RemoteOperations]) -> None:
    """The daemon's list of mistakes reaches who gave the command."""
    with pytest.raises(Problem, match=r"^comment: String should have at least 1 character$"):
        await both[1].silence(NewSilence(("team=web",), 1, 2, "ann", ""))


@pytest.mark.parametrize("work", ["audit", "backfill"])
async def test_long_work_is_asked_for_in_one_way(store: SqliteStore, work: str) -> None:
    """Audits and backfills take the same orders, bounded by what is kept, and refuse the same ones."""
    clock = ManualClock()
    now_ms = clock.now_ms()
    direct = StoreOperations(store, clock, Running(polled=lambda: {"ci": DAY_MS}))
    ask, listed = getattr(direct, work), getattr(direct, f"{work}s")
    (made,) = await ask(Order(0, 1 << 45, orgs=("github/acme",), projects=("gh/acme/*",)))
    assert (made["source"], made["state"]) == ("ci", "waiting")
    assert (made["since"], made["until"]) == (format_ms(now_ms - DAY_MS), format_ms(now_ms))
    assert made["orgs"] == ["gh/acme"]
    assert await listed() == [made]
    for refused, reason in (
        (Order(now_ms, now_ms), "refused"),
        (Order(0, now_ms - DAY_MS), "refused"),
        (Order(0, now_ms, source="other"), "unknown"),
    ):
        with pytest.raises(Problem) as told:
            await ask(refused)
        assert told.value.reason == reason
    assert await listed() == [made]


async def test_nobody_at_the_address_is_told() -> None:
    """The command then asks the store itself."""

    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    ask = RemoteOperations("http://127.0.0.1:1", None, httpx.MockTransport(refuse))
    with pytest.raises(Unreachable, match="ConnectError"):
        await ask.status()
    await ask.aclose()


async def test_what_changes_something_is_waited_for_longer() -> None:
    """Giving up would not undo it; connecting takes no longer than for a question."""
    waits: list[tuple[str, float, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        timeout = request.extensions["timeout"]
        waits.append((request.method, timeout["connect"], timeout["read"]))
        return httpx.Response(200, json={"requeued": 1, "path": "", "bytes": 1})

    ask = RemoteOperations("http://127.0.0.1:1", None, httpx.MockTransport(answer))
    await ask.status()
    await ask.replay_dead(ChosenLetters(everything=True))
    await ask.expire_silence(1, by="ann", comment="")
    await ask.backup("/x")
    assert waits == [("GET", 30, 30), ("POST", 30, 600), ("DELETE", 30, 600), ("POST", 3600, 3600)]
    await ask.aclose()


async def test_completeness_and_the_last_reading_are_shown(store: SqliteStore) -> None:
    """What audits prove of each project and when Insights were read: in `status`, on the page, as they are kept."""
    clock = ManualClock()
    now_ms = clock.now_ms()
    direct = StoreOperations(store, clock, Running(sources=lambda: {"ci": None}))
    assert (await direct.status())["sources"]["ci"]["last_insights"] is None
    assert (await direct.overview())["completeness"] == []
    told = AuditMark("gh/acme/web", now_ms, hours={f"runs {now_ms // HOUR_MS}": Tally(1234, 1230, 3, 1, 5)})
    told.silence["job"] = Silence(now_ms - HOUR_MS, now_ms, 7)
    marks: dict[str, bytes | None] = {
        "audit/k": told.encode(),
        "insights/k": str(now_ms - HOUR_MS).encode(),
        "insights/l": str(now_ms - 2 * HOUR_MS).encode(),
    }
    await store.merge_and_release(MergeWork("ci", (), ReleasePolicy(), now_ms, now_ms, marks=marks))
    figures = {"expected": 1234, "present": 1230, "repaired": 3, "unrepairable": 1, "unannounced": 5}
    overview = await direct.overview()
    assert overview["completeness"] == [{"source": "ci", "project": "gh/acme/web", **figures}]
    assert overview["status"]["sources"]["ci"]["last_insights"] == format_ms(now_ms - HOUR_MS)
    page = await live_part(direct, Templates("0"))
    row = page[page.index('data-audited="gh/acme/web"') :]
    cells = re.findall(r'<td class="(n(?: bad)?)" data-label="([^"]+)">([^<]*)</td>', row[: row.index("</tr>")])
    assert cells == [
        ("n", "Runs and jobs", "1,234"),
        ("n", "Present", "1,230"),
        ("n", "Repaired", "3"),
        ("n bad", "Missing", "1"),
        ("n", "No webhook", "5"),
    ]
    assert await silences(store, ["ci"], clock) == {("ci", "gh/acme/web"): (now_ms - HOUR_MS, 7)}
    clock.advance(2 * 86_400)
    assert await silences(store, ["ci"], clock) == {}, "a project that is audited no more is not waited for"


async def test_the_page_of_a_real_store_renders(both: tuple[StoreOperations, RemoteOperations]) -> None:
    """Every key that the template asks for is there."""
    text = await live_part(both[0], Templates("0"))
    assert "loki.logs" in text
    assert "Nothing has arrived yet" in text


def _explained(word: str, kind: str = "job", late_seconds: int = 0) -> Explained:
    record = {"observed_at": format_ms(HOUR_MS + late_seconds * 1000), "occurred_at": format_ms(HOUR_MS)}
    return Explained(
        kind=kind, provider_id="x", project="gh/a/b", record_id="r", released=True, due_ms=None, fields={},
        record=json.dumps(record).encode(), amendments=(), lane="live", seq=1, path={"loki.logs": word},
    )  # fmt: skip


@dataclass(frozen=True)
class _Signal:
    """What a signal declares."""

    name: str = "logs"
    limits: Limits = Limits(max_age_ms=60_000)  # noqa: RUF009  # frozen itself
    destination: str = ""
    kinds: frozenset[str] | None = None


PURGED = GapRow(1, "loki", None, None, 2, "dead_letters: purged")
ELSEWHERE = GapRow(1, "other", None, None, 2, "dead_letters: purged")
JOBS_ONLY = _Signal(kinds=frozenset({"job"}))


@pytest.mark.parametrize(
    ("found", "skipped", "gaps", "signal", "expected"),
    [
        (_explained("accepted"), {}, [], _Signal(), "accepted"),
        (_explained("accepted"), {"too_old": 0}, [ELSEWHERE], _Signal(), "accepted"),
        (_explained("waiting"), {"too_old": 3}, [PURGED], _Signal(), "waiting"),
        (_explained("dead"), {}, [PURGED], _Signal(), "dead"),
        (_explained("accepted"), {}, [PURGED], _Signal(), "settled: accepted, or one of 2 purged dead letters"),
        (_explained("accepted"), {"too_old": 3}, [], _Signal(), "settled: accepted, or one of 3 skipped as too_old"),
        (_explained("accepted", late_seconds=61), {"too_old": 3}, [], _Signal(),
         "skipped: too_old, it was 61 s old when it was released"),
        (_explained("skipped: too_old"), {"too_old": 3}, [], _Signal(), "skipped: too_old"),
        (replace(_explained("accepted"), noted={"loki.logs": {"too_old"}}), {"too_old": 3}, [], _Signal(), "accepted"),
        (_explained("accepted", "workflow"), {}, [], JOBS_ONLY,
         "passed over: logs does not take records of kind workflow"),
        (_explained("accepted"), {}, [], None, "accepted"),
    ],
)  # fmt: skip
def test_the_way_of_a_record_is_never_a_guess(
    found: Explained, skipped: dict[str, int], gaps: list[GapRow], signal: Any, expected: str
) -> None:
    """Accepted only where it can be nothing else; else all that it may be."""
    counts = {"loki.logs": OutcomeCounts(1, 0, skipped)}
    assert {"loki.logs": expected} == ways_of(found, counts, gaps, {"loki.logs": signal} if signal else {}, {})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"problems": ("a is gone",), "problems_more": 1200}, "a is gone and 1,200 more"),
        (
            {"problems": ("a is gone",), "problems_more": 7, "waits_for": "the store is too full"},
            "the store is too full",
        ),
        ({"unmatched": {"gh/acme/wbe": "no collected project matches"}}, "gh/acme/wbe: no collected project matches"),
    ],
    ids=["many problems", "it waits", "of nothing"],
)
async def test_what_a_backfill_met_is_on_the_page(store: SqliteStore, more: Any, said: str) -> None:
    """As the command says it."""
    clock = ManualClock()
    direct = StoreOperations(store, clock, Running(polled=lambda: {"ci": DAY_MS}))
    await BACKFILLS.save(store, "ci", BackfillRequest("r1", 0, 1, 0, **more), now_ms=clock.now_ms())
    page = await live_part(direct, Templates("0"))
    row = page[page.index('data-backfill="r1"') :]
    found = re.search(r"<bdi>(.*?)</bdi>", row[: row.index("</tr>")])
    assert found is not None
    assert found[1].strip() == said
