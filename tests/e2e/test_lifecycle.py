"""Starting, stopping, reloading, and what goes wrong around a daemon that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from tests.e2e.compare import compare, statuses
from tests.e2e.harness import (
    ROOT,
    Daemon,
    TwinProcess,
    headgate,
    loki_sink,
    made_up_job,
    pause,
    read_jsonl,
    run_until_idle,
    source,
    told_jobs,
    uuid_of,
    wait_until,
    write_config,
)
from tests.e2e.recording import in_thread


def file_sink(path: Path, **more: object) -> dict[str, object]:
    return {"type": "jsonl", "path": str(path), **more}


def jobs_in(path: Path) -> list[str]:
    return told_jobs(read_jsonl(path))


# --- stopping and starting ------------------------------------------------------------------------------------------


def test_a_hanging_sink_does_not_delay_the_end(tmp_path, loki):
    """TERM ends the daemon within 5 s with 0 while Loki never answers; the record goes out after the next start."""
    config = write_config(tmp_path, {"loki": loki_sink(loki.url)})
    loki.answer(hang=True)
    with Daemon(config) as daemon:
        assert daemon.deliver(made_up_job(1)).status_code == 200
        wait_until(lambda: loki.stats()["requests"], "the request that hangs")
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 5.0
        loki.answer()
        daemon.start()
        wait_until(loki.record_ids, "the record after the restart")
        daemon.wait_settled()
    assert told_jobs(row["native"]["line"].encode() for row in loki.stored()) == [uuid_of(1)]


def test_interrupt_is_a_stop_too(tmp_path):
    """INT ends it in order, with 0."""
    with Daemon(write_config(tmp_path, {"file": file_sink(tmp_path / "out.jsonl")})) as daemon:
        daemon.send(signal.SIGINT)
        assert daemon.wait() == 0


def test_a_second_process_is_refused(tmp_path):
    """The store has one owner: a second daemon ends with 3 and says who has it; the first goes on."""
    config = write_config(tmp_path, {"file": file_sink(tmp_path / "out.jsonl")})
    with Daemon(config) as daemon:
        second = headgate("run", "-c", str(config), seconds=30)
        assert second.returncode == 3, second.stderr
        assert "headgate.db" in second.stderr
        assert daemon.deliver(made_up_job(1)).status_code == 200
        daemon.wait_settled()


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own in memory; its user must be root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this process may make mounts."""
    return (
        os.geteuid() == 0
        and not subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode
    )


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A directory in which nothing can be made, not even by root where root may mount."""
    if can_mount():
        with mounted(folder, "ro") as place:
            yield place
        return
    folder.mkdir(mode=0o500)
    yield folder


def test_a_read_only_directory_is_named(tmp_path):
    """A store that cannot be written ends the start with 3 and a text that names the place."""
    with read_only(tmp_path / "state") as place:
        config = write_config(
            tmp_path, {"file": file_sink(tmp_path / "out.jsonl")}, store={"url": f"sqlite://{place / 'headgate.db'}"}
        )
        done = headgate("run", "-c", str(config), seconds=30)
    assert done.returncode == 3, done.stderr
    assert str(place) in done.stderr
    assert "Traceback" not in done.stderr


# --- reloading ------------------------------------------------------------------------------------------------------


def test_a_reload_swaps_a_sink_without_loss(tmp_path):
    """While webhooks pour in, one sink is replaced by another; each job is in the first, the second, or both."""
    first, second, kept = (tmp_path / f"{name}.jsonl" for name in ("first", "second", "kept"))
    config = write_config(tmp_path, {"first": file_sink(first), "kept": file_sink(kept)})
    with Daemon(config) as daemon:
        stop: list[bool] = []
        sent: list[str] = []

        def pour() -> None:
            while not stop:
                number = len(sent)
                assert daemon.deliver(made_up_job(number)).status_code == 200
                sent.append(uuid_of(number))

        thread, raised = in_thread(pour)
        wait_until(lambda: len(jobs_in(first)) >= 20, "records in the first sink")
        write_config(tmp_path, {"second": file_sink(second, start="retained"), "kept": file_sink(kept)})
        daemon.send(signal.SIGHUP)
        wait_until(lambda: "second" in daemon.status()["sinks"], "the second sink")
        before = len(sent)
        wait_until(lambda: len(sent) >= before + 20 or raised, "more webhooks")
        stop.append(True)
        thread.join(20)
        assert not raised, raised
        daemon.wait_settled()
        wait_until(lambda: len(jobs_in(second)) >= len(sent), "everything retained in the second sink")
    assert sorted(jobs_in(second)) == sorted(sent)
    assert sorted(jobs_in(kept)) == sorted(sent)
    assert len(set(jobs_in(first))) == len(jobs_in(first)) < len(sent)


def test_a_bad_file_changes_nothing(tmp_path):
    """A reload of a broken or wrong file is refused with a reason; everything goes on as before."""
    out = tmp_path / "out.jsonl"
    config = write_config(tmp_path, {"file": file_sink(out)})
    good = config.read_text()
    with Daemon(config) as daemon:
        for number, bad in enumerate(("sinks: [", good.replace("jsonl", "jsonel", 1), good + "snks: {}\n")):
            config.write_text(bad)
            before = daemon.metric("headgate_reloads_total")
            daemon.send(signal.SIGHUP)
            wait_until(lambda: daemon.metric("headgate_reloads_total") > before, "the reload counted")  # noqa: B023  # used at once
            assert list(daemon.status()["sinks"]) == ["file"]
            assert daemon.deliver(made_up_job(number)).status_code == 200
        daemon.wait_settled()
        assert daemon.stop() == 0
    assert jobs_in(out) == [uuid_of(number) for number in range(3)]
    assert "headgate.yaml" in daemon.text()


# --- sinks that are down --------------------------------------------------------------------------------------------


def test_a_dead_sink_and_a_black_hole_harm_nobody(tmp_path, loki):
    """Nobody listens for one sink and another never answers: ready all the same, and the third gets everything."""
    out = tmp_path / "out.jsonl"
    loki.answer(hang=True)
    sinks = {
        "hole": loki_sink(loki.url),
        "dead": {"type": "http", "url": "http://127.0.0.1:9/records"},
        "file": file_sink(out),
    }
    with Daemon(write_config(tmp_path, sinks)) as daemon:
        for number in range(20):
            assert daemon.deliver(made_up_job(number)).status_code == 200
        wait_until(lambda: len(jobs_in(out)) == 20, "all records in the file", 10)
        assert daemon.get("/readyz").status_code == 200
        assert daemon.get("/livez").status_code == 200
        waiting = {
            name: sum(signal["waiting"] for signal in sink["signals"].values())
            for name, sink in daemon.status()["sinks"].items()
        }
        assert (waiting["hole"], waiting["dead"]) == (20, 20)
        assert daemon.stop() == 0


# --- disk and clock -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_full_disk_refuses_webhooks_and_loses_none(tmp_path):
    """No space: 503, what was answered 200 stays; with space again webhooks are taken and all of it goes out."""
    out = tmp_path / "out.jsonl"
    with small_disk(tmp_path / "disk") as (place, store, fill, free):
        config = write_config(
            tmp_path, {"file": file_sink(out)}, store={"url": f"sqlite://{place / 'headgate.db'}", **store}
        )
        accepted: list[str] = []

        def deliver(daemon: Daemon, number: int) -> int:
            status = daemon.deliver(made_up_job(number, padding=200_000)).status_code
            if status == 200:
                accepted.append(uuid_of(number))
            return status

        with Daemon(config) as daemon:
            assert deliver(daemon, 0) == 200
            fill()
            answers = [deliver(daemon, number) for number in range(1, 120)]
            assert set(answers) <= {200, 503}
            assert 503 in answers
            free(daemon)
            wait_until(lambda: deliver(daemon, 1000 + len(accepted)) == 200, "webhooks taken again", 60)
            wait_until(lambda: {*accepted} <= {*jobs_in(out)}, "everything answered 200 in the sink", 60)
            assert daemon.stop() == 0
    assert {*jobs_in(out)} == {*accepted}


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple]:
    """A place for a store, its settings, and what fills it and frees it: a disk of 24 MB, else the store's quota."""
    if not can_mount():
        folder.mkdir()
        yield folder, {"max_bytes": "4MiB"}, lambda: None, raise_quota
        return
    with mounted(folder, "size=24m") as place:
        filler = place / "filler"

        def fill() -> None:
            with filler.open("wb") as file:
                left = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
                os.posix_fallocate(file.fileno(), 0, left - 300_000)

        yield place, {}, fill, lambda _daemon: filler.unlink()


def raise_quota(daemon: Daemon) -> None:
    """Give the store more room, which a restart makes known."""
    wanted = yaml.safe_load(daemon.config.read_text())
    wanted["store"]["max_bytes"] = "400MiB"
    daemon.config.write_text(yaml.safe_dump(wanted))
    assert daemon.stop() == 0
    daemon.start()


@pytest.mark.parametrize("seconds", [86_400, -86_400], ids=["ahead", "back"])
def test_a_clock_that_jumps_holds_nothing_up(tmp_path, seconds):
    """The wall clock jumps a day while records wait for enrichment: none is lost, doubled or stuck."""
    out, offset = tmp_path / "out.jsonl", tmp_path / "offset"
    offset.write_text("0")
    config = write_config(tmp_path, {"file": file_sink(out)})
    daemon = Daemon(config)
    daemon.command = [sys.executable, "-m", "tests.e2e.jumpy", str(offset), "run", "-c", str(config)]
    daemon.env["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    with daemon:
        for number in range(5):
            assert daemon.deliver(made_up_job(number)).status_code == 200
        offset.write_text(str(seconds))
        for number in range(5, 10):
            assert daemon.deliver(made_up_job(number)).status_code == 200
        wait_until(lambda: len(jobs_in(out)) == 10, "all records")
        daemon.wait_settled()
        assert daemon.get("/livez").status_code == 200
        assert daemon.stop() == 0
        daemon.start()
        assert daemon.deliver(made_up_job(10)).status_code == 200
        wait_until(lambda: len(jobs_in(out)) == 11, "the record after the restart")
        assert daemon.stop() == 0
    assert sorted(jobs_in(out)) == [uuid_of(number) for number in range(11)]


# --- damage and backups ---------------------------------------------------------------------------------------------


@contextmanager
def small_twin(folder: Path, *arguments: str) -> Iterator[TwinProcess]:
    """Two projects, ten days ago, whose clock stands still until it is advanced."""
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=10)
    stopped = began.isoformat().replace("+00:00", "Z")
    with TwinProcess(
        folder, "--days", "2", "--projects", "2", "--runs-per-day", "8", "--now", stopped, *arguments
    ) as twin:
        yield twin


def test_a_damaged_store_starts_and_is_repaired(tmp_path):
    """Bytes flipped all over the file while stopped: it starts, says what was lost, and collection brings it back."""
    out = tmp_path / "out.jsonl"
    with small_twin(tmp_path) as twin:
        polled = source(twin.url, twin.about()["orgs"], poll={"every": "2s", "initial": "30d"})
        config = write_config(tmp_path, {"file": file_sink(out)}, {"circleci": polled})
        run_until_idle(config)
        store = tmp_path / "headgate.db"
        spoiled = bytearray(store.read_bytes())
        for at in range(4096 * 3 + 100, len(spoiled), len(spoiled) // 12):
            spoiled[at : at + 64] = bytes(byte ^ 0xFF for byte in spoiled[at : at + 64])
        store.write_bytes(spoiled)
        run_until_idle(config)
        with Daemon(config) as daemon:
            wait_until(lambda: daemon.overview()["ended"] == statuses(twin.truth()), "every fact again", 40)
            daemon.wait_settled()
            assert daemon.get("/readyz").status_code == 200
            assert daemon.stop() == 0
        report = compare(twin.truth(), read_jsonl(out))
        assert (report.lost, report.unknown) == ([], []), report
    said = "".join(path.read_text("utf-8", "replace") for path in tmp_path.glob("*.log"))
    assert "salvage" in said.lower() or "damaged" in said.lower(), "nobody was told"


def test_a_backup_restored_elsewhere_is_completed_by_collection(tmp_path):
    """A backup made while running, restored on an empty host: what happened since is collected, nothing goes twice."""
    out = tmp_path / "out.jsonl"
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with small_twin(tmp_path) as twin:
        polled = source(twin.url, twin.about()["orgs"], poll={"every": "2s", "initial": "30d"})
        config = write_config(old, {"file": file_sink(out)}, {"circleci": polled})
        with Daemon(config) as daemon:
            wait_until(lambda: daemon.overview()["ended"] == statuses(twin.truth()), "the first walk", 40)
            daemon.wait_settled()
            pause(0.5)  # outcomes are stored within 250 ms
            done = headgate("backup", str(tmp_path / "copy.db"), "-c", str(config), "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["bytes"] > 0
            assert daemon.deliver(made_up_job(1)).status_code == 200, "it runs on"
            daemon.kill()
        twin.advance(86_400)
        elsewhere = write_config(new, {"file": file_sink(out)}, {"circleci": polled})
        restored = headgate("restore", str(tmp_path / "copy.db"), "-c", str(elsewhere))
        assert restored.returncode == 0, restored.stderr
        run_until_idle(elsewhere)
        truth = twin.truth()
        with Daemon(elsewhere) as daemon:
            assert daemon.overview()["ended"] == statuses(truth)
            assert daemon.stop() == 0
        again = headgate("restore", str(tmp_path / "copy.db"), "-c", str(elsewhere))
        assert again.returncode != 0, "a store that is there was overwritten"
    lines = [line for line in read_jsonl(out) if uuid_of(1).encode() not in line]
    assert compare(truth, lines).clean, compare(truth, lines)
