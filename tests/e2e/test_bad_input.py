"""What bad input gets of five real sinks at once: a record nobody takes, an old one, a wrong key, a wrong address."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.harness import (
    ROOT,
    Daemon,
    headgate,
    made_up_job,
    read_jsonl,
    told_jobs,
    uuid_of,
    wait_until,
    write_config,
)

from headgate.core.ids import record_id
from headgate.testing.sinks import FakeVendor

Row = dict[str, Any]

GOOD = 30
BAD, OLD = GOOD, GOOD + 1
VENDORS = ("datadog", "elasticsearch", "sumologic", "newrelic", "loki")
# Stricter than the sinks know, so that a good form meets a limit: age of a log; size of a request or line.
STRICT: dict[str, dict[str, int]] = {
    "datadog": {"max_age_seconds": 600},
    "sumologic": {"max_body_bytes": 4_000},
    "newrelic": {"max_unpacked_bytes": 4_000},
    "loki": {"max_line_bytes": 4_000},
}
# What the far side says of the bad record: status and words.
WORDS: dict[str, tuple[int, str]] = {
    "datadog.logs": (400, "timestamp is more than"),
    "elasticsearch.bulk": (400, "failed to parse field [circleci.commit.subject]"),
    "sumologic.logs": (413, "4000"),
    "newrelic.events": (413, "4000"),
    "loki.push": (400, "max entry size '4000' bytes exceeded"),
}
# An index whose subjects are dates.
MAPPING = {"mappings": {"properties": {"circleci.commit.subject": {"type": "date"}}}}
ONE_SIGNAL: Mapping[str, Row] = {
    "datadog": {"api_key": "a-made-up-key", "signals": ["logs"]},
    "newrelic": {"license_key": "a-made-up-key", "account_id": 7, "signals": ["events"]},
    "sumologic": {"signals": ["logs"]},
    "elasticsearch": {"target": "month"},
    "loki": {},
}
# How each says that a key is wrong.
REFUSALS: Mapping[str, Row] = {
    "datadog": {"status": 403, "body": {"errors": ["Forbidden"]}, "path": "/api/v2/logs"},
    "elasticsearch": {"status": 401, "body": {"error": "unable to authenticate", "status": 401}},
    "sumologic": {"status": 401, "body": "invalid URL token"},
    "newrelic": {"status": 403, "body": {}, "path": "/v1/accounts"},
    "loki": {"status": 401, "body": "no org id"},
}
RULES = {
    "version": 1,
    "groups": [
        {
            "name": "often",
            "rules": [
                {"alert": "Unused", "metric": "success_rate", "window": "1h", "every": "1s", "threshold": "< 1%"},
            ],
        }
    ],
}


def sinks(urls: Mapping[str, str], more: Mapping[str, Row] = ONE_SIGNAL) -> dict[str, Row]:
    """The five, each with what `more` says of it."""
    where: dict[str, Row] = {
        "datadog": {"endpoints": dict.fromkeys(("api", "logs", "events"), urls["datadog"])},
        "elasticsearch": {"url": urls["elasticsearch"]},
        "sumologic": {"url": f"{urls['sumologic']}/receiver/v1/http/made-up"},
        "newrelic": {"endpoints": dict.fromkeys(("events", "logs", "metrics", "traces"), urls["newrelic"])},
        "loki": {"url": urls["loki"]},
    }
    return {name: {"type": name, **where[name], **more[name]} for name in VENDORS}


@contextmanager
def running(options: Mapping[str, dict[str, int]]) -> Iterator[dict[str, FakeVendor]]:
    """The five fakes."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(FakeVendor(name, **options.get(name, {}))) for name in VENDORS}


def urls(fakes: Mapping[str, FakeVendor]) -> dict[str, str]:
    """Their addresses."""
    return {name: fake.url for name, fake in fakes.items()}


def job(number: int, subject: str, stopped: datetime) -> bytes:
    """A job of a pipeline of its own, for a commit with this subject."""
    told = json.loads(made_up_job(number, stopped=stopped))
    told["pipeline"] |= {"id": uuid_of(number + 1_000), "number": number}
    told["workflow"]["id"] = uuid_of(number + 2_000)
    told["pipeline"]["vcs"]["commit"]["subject"] = subject
    told["job"]["name"] = f"build {subject}"
    return json.dumps(told).encode()


def own_id(number: int) -> str:
    """Id of the record of a job."""
    return record_id("job", "circleci.com", uuid_of(number))


def figures(daemon: Daemon) -> dict[str, Row]:
    """What `status` says, by signal."""
    found = daemon.status()["sinks"]
    return {f"{sink}.{name}": one for sink, about in found.items() for name, one in about["signals"].items()}


def test_a_record_that_nobody_takes_is_a_dead_letter_and_the_rest_is_delivered(tmp_path: Path) -> None:
    """Each of the five refuses one record in its own words; its neighbours are there; a week later is told apart."""
    now = datetime.now(UTC)
    bad = now - timedelta(hours=1)
    subjects = {number: (now - timedelta(days=number)).date().isoformat() for number in range(GOOD)}
    with running(STRICT) as fakes:
        for month in {f"{at:%Y.%m}" for at in (now, bad)}:
            index = f"{fakes['elasticsearch'].url}/circleci-job-{month}"
            httpx.put(index, json=MAPPING, trust_env=False).raise_for_status()
        config = write_config(tmp_path, sinks(urls(fakes)))
        with Daemon(config) as daemon:
            assert daemon.deliver(job(0, subjects.pop(0), now)).status_code == 200
            wait_until(lambda: all(fake.record_ids() for fake in fakes.values()), "the first record")
            for fake in fakes.values():
                fake.answer(status=503)  # so that they wait for each other, and go in one batch
            for number, subject in subjects.items():
                assert daemon.deliver(job(number, subject, now)).status_code == 200
            assert daemon.deliver(job(BAD, "x" * 5_000, bad)).status_code == 200
            old = now - timedelta(days=8)
            assert daemon.deliver(job(OLD, old.date().isoformat(), old)).status_code == 200
            wait_until(lambda: min(one["waiting"] for one in figures(daemon).values()) >= GOOD, "all of them waiting")
            for fake in fakes.values():
                fake.answer()
            wait_until(lambda: sum(one["dead"] for one in figures(daemon).values()) == len(VENDORS), "dead letters", 60)
            daemon.wait_settled(60)
            wait_until(lambda: {one["state"] for one in figures(daemon).values()} == {"ok"}, "every signal being well")
            letters = {one["signal"]: one for one in daemon.get("/api/v1/deadletters").json()}
            status = figures(daemon)
        stored = {name: [row["record_id"] for row in fake.stored()] for name, fake in fakes.items()}
        kept = {row["record_id"]: row["native"] for row in fakes["elasticsearch"].stored()}
    good = {own_id(number) for number in range(GOOD)}
    assert {signal: one["record_id"] for signal, one in letters.items()} == dict.fromkeys(WORDS, own_id(BAD))
    for signal, (code, words) in WORDS.items():
        assert (letters[signal]["status"], words in letters[signal]["answer"]) == (code, True), letters[signal]
    for signal, one in status.items():
        skips_old = signal in {"datadog.logs", "newrelic.events", "loki.push"}
        wanted = good if skips_old else good | {own_id(OLD)}
        assert sorted(stored[signal.partition(".")[0]]) == sorted(wanted), signal
        assert one["skipped"] == ({"too_old": 1} if skips_old else {}), signal
        assert (one["state"], one["dead"], one["accepted"]) == ("ok", 1, len(wanted)), signal
    assert datetime.fromisoformat(kept[own_id(OLD)]["source"]["@timestamp"]) == pytest.approx(
        old, abs=timedelta(milliseconds=1)
    )


def alerts_in(path: Path) -> set[tuple[str, str, str]]:
    """Sink, signal and state of the alert records about held sinks."""
    found = [json.loads(line)["attributes"] for line in read_jsonl(path) if b'"SinkHeld"' in line]
    return {
        (one["headgate.alert.label.sink"], one["headgate.alert.label.signal"], one["headgate.alert.state"])
        for one in found
    }


@pytest.mark.timeout(120)
def test_a_wrong_key_holds_its_signal_until_it_works(tmp_path: Path) -> None:
    """Status and an alert record say so, other signals go on, nothing is lost, and it goes on by itself."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    out = tmp_path / "out.jsonl"
    with_others = {
        **ONE_SIGNAL,
        "datadog": {**ONE_SIGNAL["datadog"], "signals": ["logs", "ci"]},
        "newrelic": {**ONE_SIGNAL["newrelic"], "signals": ["events", "logs"]},
    }
    refused = {"datadog.logs", "elasticsearch.bulk", "sumologic.logs", "newrelic.events", "loki.push"}
    others = {"datadog.ci", "newrelic.logs", "file.lines"}
    with running({}) as fakes:
        for name, fake in fakes.items():
            fake.answer(REFUSALS[name])
        wanted = {**sinks(urls(fakes), with_others), "file": {"type": "jsonl", "path": str(out)}}
        config = write_config(tmp_path, wanted, alerts={"rules": ["rules.yaml"]})
        daemon = Daemon(config)
        daemon.command = [sys.executable, "-m", "tests.e2e.impatient", "run", "-c", str(config)]
        daemon.env["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
        with daemon:
            for number in range(GOOD):
                assert daemon.deliver(made_up_job(number)).status_code == 200
            firing = {(*one.split("."), "firing") for one in refused}
            wait_until(lambda: alerts_in(out) == firing, "the alerts of five held signals", 40)
            status = figures(daemon)
            assert {name for name, one in status.items() if one["state"] == "held"} == refused
            assert all(status[name]["waiting"] >= GOOD and not status[name]["dead"] for name in refused)
            wait_until(lambda: all(figures(daemon)[one]["waiting"] == 0 for one in others), "the other signals")
            assert all(status[name]["state"] == "ok" for name in others)
            shown = headgate("status", "-c", str(config)).stdout
            assert shown.count("held") >= len(refused)
            assert sum(len(fake.record_ids()) for fake in fakes.values()) >= 2 * GOOD, "the others did not go on"
            for fake in fakes.values():
                fake.answer()
            daemon.wait_settled(40)
            resolved = {(*one.split("."), "resolved") for one in refused}
            wait_until(lambda: alerts_in(out) == firing | resolved, "the end of the alerts", 40)
            daemon.wait_settled(40)
            status = figures(daemon)
        assert {(one["state"], one["dead"], sum(one["skipped"].values())) for one in status.values()} == {("ok", 0, 0)}
        jobs = sorted(own_id(number) for number in range(GOOD))
        held = {name: [one for one in fake.record_ids() if one in jobs] for name, fake in fakes.items()}
    twice = {"datadog", "newrelic"}
    for name, ids in held.items():
        assert sorted(ids) == sorted(jobs * 2 if name in twice else jobs), name
    assert sorted(told_jobs(read_jsonl(out))) == [uuid_of(number) for number in range(GOOD)]


class Somebody(BaseHTTPRequestHandler):
    """Any web server: it answers everything with 200, and with what its class says."""

    kind, page = "text/html", b"<html><title>Welcome to nginx!</title></html>"

    def do_GET(self) -> None:
        """200, whatever was asked."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", self.kind)
        self.send_header("content-length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


class SomeApi(Somebody):
    """An API of something else, which takes everything."""

    kind, page = "application/json", b'{"greeting": "Welcome to nginx!"}'


@contextmanager
def somebody(kind: type[Somebody]) -> Iterator[str]:
    """Address of a server that is none of the products."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def checked(config: Path) -> dict[str, Row]:
    """What `headgate check` says of sinks, by sink."""
    done = headgate("check", "--json", "-c", str(config))
    assert done.returncode == 1, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["name"].split(".")[1]: one for one in found if one["name"].startswith("sinks.")}


@pytest.mark.parametrize("kind", [Somebody, SomeApi], ids=["web page", "other API"])
def test_check_says_what_answers_at_a_wrong_address(tmp_path: Path, kind: type[Somebody]) -> None:
    """A server that says 200 to everything is not taken for the product; its words are shown."""
    with somebody(kind) as url:
        found = checked(write_config(tmp_path, sinks(dict.fromkeys(VENDORS, url))))
    assert {name: (one["ok"], one["reason"]) for name, one in found.items()} == dict.fromkeys(
        VENDORS, (False, "wrong_product")
    )
    assert [name for name, one in found.items() if "Welcome to nginx!" not in one["fix"]] == []


def test_check_says_what_another_product_answers(tmp_path: Path) -> None:
    """Each sink at the address of the next one's product: not taken for its own, and the answer is shown."""
    with running({}) as fakes:
        addresses = urls(fakes)
        following = dict(zip(VENDORS, [*VENDORS[1:], VENDORS[0]], strict=True))
        found = checked(write_config(tmp_path, sinks({name: addresses[other] for name, other in following.items()})))
    assert {name for name, one in found.items() if one["ok"]} == set()
    assert {name for name, one in found.items() if "answered" not in one["fix"]} == set()
