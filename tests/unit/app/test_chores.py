"""Scheduled files under a clock that is moved: due once, caught up once, tried again, and old ones deleted."""

import csv
import io
import subprocess
import sys
from dataclasses import replace

import pytest

from headgate.app.atomicfile import in_one, write_file
from headgate.app.chores import Chore, Chores, Made
from headgate.app.duefiles import in_trail
from headgate.app.exportjobs import asked_at, export_chores
from headgate.app.filesections import ExportConfig, ReportConfig
from headgate.app.reportjobs import check_takers, report_chores
from headgate.app.rhythms import every
from headgate.app.shelf import Keep, Shelf, stamp
from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.errors import ConfigError, StoreBusy, StoreFailed
from headgate.core.messages import content_of
from headgate.core.times import format_ms, parse_ms
from headgate.insights.tables import Material
from headgate.insights.views.lens import Lens
from headgate.store import MemoryStore
from headgate.testing.store_data import NOW, merge, pipeline, workflow

HOUR = 3_600_000
BEGIN = NOW // HOUR * HOUR


class Bench:
    """A chore each hour, whose file says when it was due. `fails`: raised instead of a file."""

    def __init__(self, folder, keep=None):
        self.clock = ManualClock(BEGIN)
        self.telemetry = Telemetry()
        self.shelf = Shelf(folder / "out", "hourly", ("csv", "xlsx"), keep or Keep(count=3))
        self.fails = None
        self.after = []
        self.chores = self.start()

    def start(self):
        """A process that has just begun."""
        return Chores([Chore("export", "hourly", every(HOUR), self.shelf, self.make)], self.clock, self.telemetry)

    async def make(self, due_ms):
        if self.fails is not None:
            raise self.fails

        async def after():
            self.after.append(due_ms)

        body = format_ms(due_ms).encode()
        return Made(self.shelf.file(due_ms - HOUR, due_ms, "csv"), in_one(body), after)

    async def look(self):
        await self.chores.look("exports.hourly")
        return [one.path.name for one in self.shelf.files()]

    @property
    def state(self):
        return self.chores.status()["exports.hourly"]

    def counted(self, name, **labels):
        words = ",".join(f'{key}="{value}"' for key, value in labels.items())
        line = next(one for one in self.telemetry.page().decode().splitlines() if one.startswith(f"{name}{{{words}}}"))
        return float(line.rpartition(" ")[2])


def name(hours):
    end = BEGIN + hours * HOUR
    return f"hourly_{stamp(end - HOUR)}_{stamp(end)}.csv"


async def test_a_file_is_written_once_when_it_is_due(tmp_path):
    """At the first start too; another look before the next hour does nothing."""
    bench = Bench(tmp_path)
    assert [name(0)] == await bench.look()
    bench.clock.advance(1800)
    assert ([name(0)], [BEGIN]) == (await bench.look(), bench.after)
    bench.clock.advance(1800)
    assert [name(1), name(0)] == await bench.look()
    state = {"last_at": format_ms(BEGIN + HOUR), "file": name(1), "bytes": 24, "problem": None}
    assert bench.state == state | {"next_at": format_ms(BEGIN + 2 * HOUR)}
    assert bench.counted("headgate_files_total", file="hourly", kind="export", outcome="written") == 2


async def test_what_was_missed_is_caught_up_once(tmp_path):
    """After a stop of five hours one file, of the last hour; one that was fetched away is not made again."""
    bench = Bench(tmp_path)
    await bench.look()
    bench.clock.advance(5 * 3600 + 60)
    bench.chores = bench.start()
    assert [name(5), name(0)] == await bench.look()
    (tmp_path / "out" / name(5)).unlink()
    bench.chores = bench.start()
    assert [name(0)] == await bench.look()
    assert format_ms(BEGIN + 5 * HOUR) == bench.state["last_at"]


@pytest.mark.parametrize("keep", [Keep(count=3), Keep(age_ms=3 * HOUR - 1)], ids=["count", "age"])
async def test_old_files_are_deleted_and_only_ours(tmp_path, keep):
    """By number or by age; whatever else is in the directory stays."""
    bench = Bench(tmp_path, keep)
    await bench.look()
    others = [
        "hourly.csv",
        "hourly_x.csv",
        f"hourly_2{name(0)[7:]}",
        f"{name(0)}.bak",
        "notes.txt",
        name(0)[:-3] + "json",
    ]
    for one in others:
        (tmp_path / "out" / one).write_text("mine", encoding="utf-8")
    (tmp_path / "out" / name(-90)).symlink_to(tmp_path / "elsewhere")
    for _ in range(5):
        bench.clock.advance(3600)
        found = await bench.look()
    assert [name(5), name(4), name(3)] == found
    left = {one.name for one in (tmp_path / "out").iterdir()}
    assert {*others, *found, ".hourly.done", name(-90)} == left


async def test_a_disk_that_refuses_is_tried_again(tmp_path):
    """Told in status and metrics, after a pause that grows, until it is written; nothing half is left."""
    bench = Bench(tmp_path)
    (tmp_path / "out").write_text("in the way", encoding="utf-8")
    await bench.chores.look("exports.hourly")
    assert "Not a directory" in bench.state["problem"]
    assert format_ms(BEGIN + 60_000) == bench.state["next_at"]
    assert bench.counted("headgate_file_failing", file="hourly", kind="export") == 1
    await bench.chores.look("exports.hourly")
    assert format_ms(BEGIN + 120_000) == bench.state["next_at"]
    (tmp_path / "out").unlink()
    assert [name(0)] == await bench.look()
    assert (bench.state["problem"], bench.counted("headgate_file_failing", file="hourly", kind="export")) == (None, 0)
    assert bench.counted("headgate_files_total", file="hourly", kind="export", outcome="failed") == 2


async def test_a_file_is_listed_with_what_is_kept(tmp_path):
    """Before the first one, after it, and while none can be made; sizes and numbers are those of the directory."""
    bench = Bench(tmp_path)
    (told,) = await bench.chores.listed()
    assert ("waiting", None, 0, "3", None) == tuple(
        told[key] for key in ("state", "last_at", "files", "keep", "problem")
    )
    await bench.look()
    bench.clock.advance(3600)
    await bench.look()
    (told,) = await bench.chores.listed()
    assert {
        "kind": "export",
        "name": "hourly",
        "state": "ok",
        "last_at": format_ms(BEGIN + HOUR),
        "next_at": format_ms(BEGIN + 2 * HOUR),
        "problem": None,
        "folder": str(tmp_path / "out"),
        "files": 2,
        "bytes": 48,
        "keep": "3",
    } == told
    bench.fails = OSError(28, "No space left on device")
    bench.clock.advance(3600)
    await bench.look()
    (told,) = await bench.chores.listed()
    assert ("failing", True, 2) == (told["state"], "No space left" in told["problem"], told["files"])
    assert ["3", "90d", "90m"] == [
        Keep(count=3).text,
        Keep(age_ms=90 * 24 * HOUR).text,
        Keep(age_ms=HOUR * 3 // 2).text,
    ]


async def test_scheduled_files_are_in_the_trail(tmp_path):
    """As exports by the schedule, with who is sent them; one that cannot be noted is not done."""
    bench = Bench(tmp_path)
    store = MemoryStore(clock=bench.clock)
    await store.open()

    async def mailed(due_ms):
        return replace(await bench.make(due_ms), to=("team-mail", "chat"))

    chore = Chore("report", "weekly", every(HOUR), bench.shelf, mailed)
    chores = Chores([in_trail(chore, store, bench.clock)], bench.clock, bench.telemetry)
    await chores.look("reports.weekly")
    (entry,) = await store.trail(since_ms=0, limit=9)
    assert ("headgate", "schedule", "export", 200) == (entry.who, entry.via, entry.action, entry.status)
    assert f"report weekly: {name(0)}, sent to team-mail, chat" == entry.about
    assert [BEGIN] == bench.after

    async def full(_):
        raise StoreBusy("full")

    store.append_trail = full
    bench.clock.advance(3600)
    await chores.look("reports.weekly")
    told = chores.status()["reports.weekly"]
    assert ("full", [BEGIN]) == (told["problem"], bench.after)


async def test_a_store_that_failed_ends_the_process(tmp_path):
    """It may not be survived here either."""
    bench = Bench(tmp_path)
    bench.fails = StoreFailed("flush")
    with pytest.raises(StoreFailed):
        await bench.chores.look("exports.hourly")


async def test_a_mark_that_nobody_can_read_is_none(tmp_path):
    """The file is made once more."""
    bench = Bench(tmp_path)
    await bench.look()
    for body in (b"{", b'{"due": 5}', b'{"due": "soon"}'):
        (tmp_path / "out" / ".hourly.done").write_bytes(body)
        await bench.look()
    assert len(bench.after) == 4


async def test_the_scheduler_makes_what_is_due(tmp_path):
    """On APScheduler: at once after the start, and again when the chores are replaced; it ends when it is canceled."""
    import asyncio

    bench = Bench(tmp_path)
    running = asyncio.create_task(bench.chores.run())
    async with asyncio.timeout(20):
        while not bench.after:  # noqa: ASYNC110  # the scheduler has no event for it
            await asyncio.sleep(0.01)
        bench.clock.advance(3600)
        bench.chores.replace([Chore("export", "hourly", every(HOUR), bench.shelf, bench.make)])
        while len(bench.after) < 2:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


@pytest.mark.parametrize("begin", [BEGIN, 4 * BEGIN], ids=["behind the machine's", "ahead of it"])
async def test_what_is_due_is_made_by_our_clock(tmp_path, monkeypatch, begin):
    """Every hour of it, however fast it runs and whatever the machine's own clock says; a failed one too."""
    import asyncio

    monkeypatch.setattr("headgate.app.chores._LOOK_SECONDS", 0.02)
    bench = Bench(tmp_path)
    bench.clock = ManualClock(begin // HOUR * HOUR)
    bench.chores = bench.start()
    running = asyncio.create_task(bench.chores.run())
    async with asyncio.timeout(20):
        for hours in range(1, 4):
            while len(bench.after) < hours:  # noqa: ASYNC110  # the scheduler has no event for it
                await asyncio.sleep(0.01)
            bench.clock.advance(3600)
        bench.fails = OSError("no")
        while not bench.state["problem"]:
            await asyncio.sleep(0.01)
            bench.clock.advance(600)
        bench.fails = None
        while bench.state["problem"]:
            bench.clock.advance(600)
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [begin // HOUR * HOUR + hours * HOUR for hours in range(3)] == bench.after[:3]


async def test_a_failed_store_ends_the_scheduler(tmp_path):
    """So that the daemon hears of it."""
    bench = Bench(tmp_path)
    bench.fails = StoreFailed("flush")
    with pytest.raises(StoreFailed):
        await bench.chores.run()


async def test_an_error_nobody_foresaw_is_tried_again(tmp_path):
    """And stops no other file."""
    bench = Bench(tmp_path)
    bench.fails = KeyError()
    await bench.look()
    assert bench.state["problem"] == "KeyError"
    bench.fails = None
    assert [name(0)] == await bench.look()


_KILLED = """
import asyncio, sys
from pathlib import Path
from headgate.app.atomicfile import write_file

async def chunks():
    yield b"half a file"
    print("begun", flush=True)
    await asyncio.sleep(60)

asyncio.run(write_file(Path(sys.argv[1]), chunks()))
"""


async def test_a_killed_process_leaves_no_half_file(tmp_path):
    """The file of before stays, and what is left of the new one is taken away before the next."""
    bench = Bench(tmp_path)
    await bench.look()
    path = tmp_path / "out" / name(1)
    await write_file(path, in_one(b"before"))
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE) as writing:  # noqa: ASYNC220
        assert writing.stdout.readline() == b"begun\n"
        writing.kill()
    left = [one.name for one in path.parent.iterdir() if one.name.endswith(".part")]
    assert (b"before", 1) == (path.read_bytes(), len(left))
    bench.clock.advance(3600)
    await bench.look()
    assert not [one for one in path.parent.iterdir() if one.name.endswith(".part")]
    assert format_ms(BEGIN + HOUR).encode() == path.read_bytes()


async def test_what_was_canceled_leaves_nothing(tmp_path):
    """Nor does what fails while it is written."""

    async def broken():
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await write_file(tmp_path / "x", broken())
    assert [] == list(tmp_path.iterdir())
    assert 4 == await write_file(tmp_path / "x", in_one(b"good"))
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


# -- configured exports


async def test_a_configured_export_is_a_table_of_its_window(tmp_path):
    """Of the time up to when it was due, also when it is made later."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    await merge(store, pipeline(), workflow(stopped_at=BEGIN - 1))
    late = "33333333-3333-4333-8333-333333333334"
    await merge(store, workflow(late, stopped_at=BEGIN + 1))
    config = ExportConfig(table="runs", every="1h", to="out", parameters={"window": "24h", "project": "gh/acme/web"})
    material = Material(Lens(store, BEGIN + 60_000), None)
    (chore,) = export_chores({"nightly": config}, tmp_path, lambda: material)
    chores = Chores([chore], ManualClock(BEGIN + 60_000), Telemetry())
    await chores.look("exports.nightly")
    (file,) = chore.shelf.files()
    assert f"nightly_{stamp(BEGIN - 24 * HOUR)}_{stamp(BEGIN)}.csv" == file.path.name
    rows = list(csv.DictReader(io.StringIO(file.path.read_text(encoding="utf-8"), newline="")))
    assert [format_ms(BEGIN - 1)] == [row["stopped_at"] for row in rows]
    await store.close()


def windows(line, length, since, until, where="Europe/Berlin"):
    """Those of the files that are due between two times, by a cron line."""
    config = ExportConfig(table="runs", to="out", at=line, time_zone=where, parameters={"window": length})
    found, due_ms = [], parse_ms(since)
    while (due_ms := config.rhythm().next(due_ms)) <= parse_ms(until):
        window = asked_at(config, due_ms).window
        assert due_ms == window.until_ms
        found.append(window)
    return found


@pytest.mark.parametrize("since", ["2026-03-20T00:00:00Z", "2026-10-16T00:00:00Z"], ids=["spring", "autumn"])
@pytest.mark.parametrize(
    ("line", "length"),
    [
        ("30 5 * * *", "24h"),
        ("0 6 * * *", "1d"),
        ("30 2 * * *", "24h"),
        ("0 */12 * * *", "12h"),
        ("0 */2 * * *", "2h"),
        ("*/30 * * * *", "30m"),
        ("0 6 * * mon", "7d"),
        ("0 6 * * mon-fri", "previous"),
        ("15 4 1 * *", "previous"),
        ("0 0 * * *", "24h"),
        ("15 0 * * *", "previous"),
        ("0 0 * * mon", "7d"),
        ("0 0 1 * *", "previous"),
    ],
)
def test_neighbours_meet_when_clocks_change(line, length, since):
    """A window as long as its rhythm: no run is in no file or in two, on days of 23 and 25 hours too."""
    found = windows(line, length, since, format_ms(parse_ms(since) + 45 * 24 * HOUR))
    assert [one.until_ms for one in found[:-1]] == [one.since_ms for one in found[1:]]


@pytest.mark.parametrize("where", ["Africa/Cairo", "Australia/Lord_Howe"])
@pytest.mark.parametrize(("line", "length"), [("0 0 * * *", "24h"), ("15 2 * * *", "24h"), ("0 * * * *", "1h")])
def test_neighbours_meet_when_clocks_skip_midnight_or_half_an_hour(where, line, length):
    """Also in these zones."""
    for since in ("2026-04-02T00:00:00Z", "2026-04-22T00:00:00Z", "2026-10-02T00:00:00Z", "2026-10-28T00:00:00Z"):
        found = windows(line, length, since, format_ms(parse_ms(since) + 4 * 24 * HOUR), where)
        assert [one.until_ms for one in found[:-1]] == [one.since_ms for one in found[1:]]


@pytest.mark.parametrize(
    ("line", "length", "hours"),
    [("30 5 * * mon-fri", "24h", 24), ("30 5 * * *", "7d", 168), ("0 6 * * *", "36h", 36), ("*/20 * * * *", "1h", 1)],
)
def test_a_window_is_as_long_as_was_said(line, length, hours):
    """To the minute, where it is not the length of its rhythm; in days without a change of clocks."""
    found = windows(line, length, "2026-11-10T00:00:00Z", "2026-11-20T00:00:00Z")
    assert {hours * HOUR} == {one.span_ms for one in found}


@pytest.mark.parametrize("since", ["2026-03-27T00:00:00Z", "2026-10-23T00:00:00Z"], ids=["spring", "autumn"])
@pytest.mark.parametrize(
    ("line", "length", "hours"),
    [("0 * * * *", "2h", 2), ("0 5 * * *", "25h", 25), ("0 0 * * *", "23h", 23), ("0 */2 * * *", "3h", 3)],
)
def test_a_rolling_window_is_as_long_as_was_said(line, length, hours, since):
    """Also where it is the length of the rhythm give or take what clocks are changed by, and they are."""
    found = windows(line, length, since, format_ms(parse_ms(since) + 5 * 24 * HOUR))
    assert {hours * HOUR} == {one.span_ms for one in found}


async def test_an_export_that_cannot_be_answered_any_more(tmp_path):
    """Since its project is gone: told, and tried again."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    config = ExportConfig(table="runs", every="1h", to="out", parameters={"project": "gh/acme/web"})
    chores = Chores(
        export_chores({"x": config}, tmp_path, lambda: Material(Lens(store, NOW), None)), ManualClock(NOW), Telemetry()
    )
    await chores.look("exports.x")
    assert "'gh/acme/web' is not known" in chores.status()["exports.x"]["problem"]
    await store.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"table": "rnus"}, 'no table called rnus; did you mean "runs"'),
        ({}, "say at or every"),
        ({"every": "1h", "at": "0 6 * * *"}, "say at or every"),
        ({"every": "10s"}, "at least 1m"),
        ({"at": "0 6 * * 1"}, "weekdays by name"),
        ({"every": "1h", "keep": 0}, "keep at least 1 file"),
        ({"every": "1h", "keep": "soon"}, "not a duration"),
        ({"every": "1h", "time_zone": "Europe/Berln"}, "Europe/Berlin"),
        ({"every": "1h", "format": "xls"}, "'xlsx'"),
        ({"every": "1h", "parameters": {"projct": "x"}}, "did you mean project"),
        ({"every": "1h", "parameters": {"until": "now"}}, "a window ends when it is due"),
        ({"every": "1h", "parameters": {"window": "long"}}, "not a length"),
        ({"every": "1h", "table": "jobs"}, "needs project"),
    ],
)
def test_what_a_configuration_may_not_say(words, said):
    """Each mistake with what is valid, when the file is read."""
    with pytest.raises(ValueError, match=r".") as refused:
        ExportConfig(**{"table": "runs", "to": "out", **words})
    assert said in str(refused.value)


# -- configured reports


async def test_a_report_is_sent_once_to_each_notifier(tmp_path):
    """By the outbox, under a key of its period; made again after a failure it is not sent again."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    await merge(store, pipeline(), workflow(stopped_at=NOW - 5 * 24 * HOUR))
    config = ReportConfig(every="week", to="out", mail=("mail", "chat"), time_zone="Europe/Berlin")

    async def reading():
        return ["History is being read."]

    (chore,) = report_chores({"weekly": config}, tmp_path, store, lambda: Lens(store, NOW), reading)
    chores = Chores([chore], ManualClock(NOW), Telemetry())
    await chores.look("reports.weekly")
    (file,) = chore.shelf.files()
    assert file.path.name == "weekly_20261108T230000Z_20261115T230000Z.html"
    (tmp_path / "out" / ".weekly.done").unlink()
    await chores.look("reports.weekly")
    waiting = await store.outbox_due(now_ms=NOW, limit=9)
    assert ["chat", "mail"] == sorted(row.notifier for row in waiting)
    assert {f"report:weekly:{format_ms(file.until_ms)}"} == {row.key for row in waiting}
    told = content_of(waiting[0].payload)
    assert told.file == file.path.read_text(encoding="utf-8")
    assert told.title == "CI week 2026-11-09 to 2026-11-16"
    assert all("History is being read." in text for text in (told.file, told.html, told.markdown))
    await store.close()


def test_a_notifier_that_takes_no_digests_takes_no_reports():
    """Which is said when the configuration is read."""
    config = ReportConfig(to="out", mail=("mail", "pager"))
    with pytest.raises(ConfigError, match=r"reports\.weekly\.mail: 'pager' takes no digests"):
        check_takers({"weekly": config}, {"mail": True, "pager": False})
    check_takers({"weekly": config}, {"mail": True, "pager": True})
