"""Twin, daemon and five strict fakes at once, each failing one request in ten: what each holds is what happened.

Truth is the twin's; of the jobs that the twin does not know, told by webhooks alone, it is the test's own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.compare import compare
from tests.e2e.harness import Daemon, TwinProcess, headgate, made_up_job, source, uuid_of, write_config

from headgate.testing.sinks import FakeVendor

Row = dict[str, Any]

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
# Told by webhooks while history is polled; they end now, so they alone are young enough for every signal.
MADE_UP = 40
MADE_UP_MS = 30_000
# The twin's history ends this long ago, so none of it is young enough for distributions.
HISTORY_ENDS = timedelta(minutes=70)
# One request in ten, a third each: stored and not answered, unavailable, limited.
RATES: list[Row] = [
    {"cut": "after_store", "rate": 0.034},
    {"status": 503, "rate": 0.034},
    {"status": 429, "rate": 0.034, "headers": {"retry-after": "1"}},
]
# Where few requests are made, the first one at least loses its answer.
PATHS: dict[str, tuple[str, ...]] = {
    "datadog": ("/api/v2/logs", "/api/v2/ci", "/api/v2/series", "/api/v1/distribution"),
    "elasticsearch": ("/_bulk",),
    "sumologic": ("/receiver",),
    "newrelic": ("/v1/accounts", "/log"),
    "loki": ("/loki",),
}
OPTIONS: dict[str, dict[str, int]] = {"datadog": {"metric_age_seconds": 0}}
NO_LIMIT_MS = 10**12
# What a signal takes, by its own page, not by the product's constants: age (with the product's margin) and kinds.
DAY_MS = 24 * HOUR_MS
LIMITS: dict[str, int] = {
    "datadog.logs": 18 * HOUR_MS,
    "datadog.ci": 18 * HOUR_MS,
    "elasticsearch.bulk": NO_LIMIT_MS,
    "sumologic.logs": NO_LIMIT_MS,
    "newrelic.events": DAY_MS - 5 * MINUTE_MS,
    "newrelic.logs": 2 * DAY_MS - 5 * MINUTE_MS,
    "loki.push": 7 * DAY_MS,
}
RUNS = frozenset({"workflow", "job"})
OWN_ID = {"workflow": "cicd.pipeline.run.id", "job": "cicd.pipeline.task.run.id"}
# Attributes that all five keep under their own names.
NAMES = frozenset(
    {
        "cicd.pipeline.name",
        "cicd.pipeline.run.id",
        "cicd.pipeline.task.name",
        "headgate.status",
        "circleci.status",
        "circleci.duration_ms",
        "circleci.queue_ms",
        "circleci.job.number",
        "vcs.ref.head.name",
        "vcs.ref.head.revision",
    }
)


@dataclass(frozen=True, slots=True)
class Held:
    """What one signal's far side holds: rows of requests that were answered, and of those whose answer was cut."""

    told: tuple[Row, ...]
    untold: tuple[Row, ...]

    def ids(self) -> set[str]:
        """Ids of everything that is there."""
        return {row["record_id"] for row in (*self.told, *self.untold)}


def sinks(fakes: Mapping[str, FakeVendor]) -> dict[str, Row]:
    """The configuration: every signal that the fakes are asked for."""
    url = {name: fake.url for name, fake in fakes.items()}
    small = {"batch_records": 20}
    return {
        "datadog": {
            "api_key": "a-made-up-key",
            "endpoints": dict.fromkeys(("api", "logs", "events"), url["datadog"]),
            "signals": ["logs", "metrics", "distributions", "ci"],
            "compat_metrics": True,
            "max_age": "30d",
        },
        "elasticsearch": {"url": url["elasticsearch"], "target": "month", **small},
        "sumologic": {"url": f"{url['sumologic']}/receiver/v1/http/made-up", "signals": ["logs"], **small},
        "newrelic": {
            "license_key": "a-made-up-key",
            "account_id": 7,
            "endpoints": dict.fromkeys(("events", "logs"), url["newrelic"]),
            "signals": ["events", "logs"],
            **small,
        },
        "loki": {"url": url["loki"], **small},
    }


def signal_of(fake: str, native: Row) -> str:
    """The signal that a stored row came by."""
    if fake == "newrelic":
        return f"newrelic.{native['api']}"
    if fake != "datadog":
        return {"elasticsearch": "elasticsearch.bulk", "sumologic": "sumologic.logs", "loki": "loki.push"}[fake]
    if "metric" in native:
        return "datadog.metrics" if "type" in native else "datadog.distributions"
    return "datadog.logs" if "ddsource" in native else "datadog.ci"


def holdings(fakes: Mapping[str, FakeVendor]) -> dict[str, Held]:
    """What is stored, by signal."""
    rows: dict[tuple[str, bool], list[Row]] = {}
    for name, fake in fakes.items():
        asked = fake.requests()
        assert len(asked) == fake.stats()["requests"], f"{name}: more requests than are remembered"
        assert not [one for one in asked if one["status"] >= 400 and one["told"] == "judged"], name
        cut = {one["n"] for one in asked if one["fault"] == "cut"}
        for row in fake.stored():
            rows.setdefault((signal_of(name, row["native"]), row["request"] in cut), []).append(row)
    signals = {signal for signal, _ in rows}
    return {one: Held(tuple(rows.get((one, False), ())), tuple(rows.get((one, True), ()))) for one in signals}


def attributes(native: Row) -> dict[str, Any]:
    """A row of any far side that keeps whole records, as flat attributes."""
    if "line" in native:
        return dict(json.loads(native["line"])["attributes"])
    found = native.get("source") or native.get("log") or native.get("attributes") or native
    return dict(flat(found))


def flat(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by dots."""
    for name, value in given.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def check_repeats(held: Mapping[str, Held]) -> None:
    """A far side that folds has nothing twice; to others a resend says again what was said, byte for byte."""
    for signal, found in held.items():
        if signal in {"datadog.metrics", "datadog.distributions"}:
            continue
        everything = [row["record_id"] for row in (*found.told, *found.untold)]
        if signal in {"elasticsearch.bulk", "datadog.ci", "loki.push"}:
            assert len(everything) == len(set(everything)), signal
            continue
        first = {row["record_id"]: row["native"] for row in found.told}
        assert len(first) == len(found.told), f"{signal}: told twice though it was answered"
        assert [row["record_id"] for row in found.untold if row["native"] != first.get(row["record_id"])] == [], signal


def check_values(signal: str, rows: Sequence[Row], told: Mapping[str, Row]) -> None:
    """Every attribute that a row has is that of its record. `told`: records by id, held against the truth already."""
    compared, wrong = 0, []
    for row in rows:
        wanted, found = told[row["record_id"]]["attributes"], attributes(row["native"])
        names = sorted(NAMES & wanted.keys() & found.keys())
        compared += len(names)
        wrong += [f"{row['record_id']}: {name} is {found[name]!r}" for name in names if found[name] != wanted[name]]
    assert not wrong, f"{signal}: {wrong[:10]}"
    assert compared > len(rows), f"{signal}: only {compared} values"


def check_ci(rows: Iterable[Row], truth: Mapping[str, Row], ids: Mapping[str, str]) -> None:
    """Runs and jobs of CI Visibility begin, end and belong where they did."""
    words = {"success": "success", "failure": "error", "error": "error", "timeout": "error", "canceled": "canceled"}
    for row in rows:
        own = ids[row["record_id"]]
        final, found = truth[own]["final"], row["native"]["resource"]
        assert found.get("id", found.get("unique_id")) == own
        assert found["level"] == {"workflow": "pipeline"}.get(truth[own]["kind"], truth[own]["kind"])
        assert found["status"] == words.get(final["headgate.status"], found["status"]), own
        if truth[own]["kind"] == "job":
            assert found["pipeline_unique_id"] == final["cicd.pipeline.run.id"]
        if "circleci.started_at" in final and "circleci.duration_ms" in final:
            spent = (moment(found["end"]) - moment(found["start"])) / timedelta(milliseconds=1)
            assert spent == pytest.approx(final["circleci.duration_ms"], abs=1_000), own


def moment(text: str) -> datetime:
    """A time of RFC 3339."""
    return datetime.fromisoformat(text)


def check_ages(
    signal: str, held: set[str], told: Mapping[str, Row], status: Row, span: tuple[datetime, datetime]
) -> None:
    """What is missing is too old, or an approval where none are shown; all is counted. `span`: begin and end."""
    limit = timedelta(milliseconds=LIMITS[signal])
    taken = {own: one for own, one in told.items() if signal != "datadog.ci" or one["kind"] in RUNS}
    silent = {own for own, one in taken.items() if signal == "datadog.ci" and is_approval(one["attributes"])}
    may, must = ({own for own, one in taken.items() if at - moment(one["occurred_at"]) < limit} for at in span)
    assert must - silent <= held <= may - silent, (signal, sorted(must - silent - held), sorted(held - may))
    assert len(must & silent) <= status["accepted"] - len(held) <= len(may & silent), signal
    assert status["accepted"] + status["skipped"].get("too_old", 0) == len(taken), signal
    assert set(status["skipped"]) <= {"too_old"}, signal
    assert (status["state"], status["waiting"], status["dead"]) == ("ok", 0, 0), signal


def is_approval(found: Mapping[str, Any]) -> bool:
    """Whether these are attributes of somebody's approval."""
    return found.get("circleci.job.type") == "approval"


def check_figures(held: Mapping[str, Held], truth: Iterable[Row]) -> None:
    """Datadog's counts are the true ones; each length is there once, and again only where no answer came."""
    jobs = [one for one in truth if one["kind"] == "job" and not is_approval(one["final"])]
    series = (*held["datadog.metrics"].told, *held["datadog.metrics"].untold)
    counted = [row["native"]["value"] for row in series if row["native"]["metric"] == "circleci.finished_builds.count"]
    assert sum(counted) == len(jobs)
    lengths = {True: Counter[Any](), False: Counter[Any]()}
    for told, rows in ((True, held["datadog.distributions"].told), (False, held["datadog.distributions"].untold)):
        lengths[told].update(
            (row["native"]["at"], row["native"]["value"])
            for row in rows
            if row["native"]["metric"] == "cicd.pipeline.task.run.duration"
        )
    assert sum(lengths[True].values()) == MADE_UP
    assert {value for _, value in lengths[True]} == {MADE_UP_MS / 1000}
    assert lengths[False] <= lengths[True]


def made_up_truth() -> list[Row]:
    """What is true of the jobs that the twin does not know, in the twin's form."""
    body = json.loads(made_up_job(0))
    final = {
        "cicd.pipeline.name": body["workflow"]["name"],
        "cicd.pipeline.run.id": body["workflow"]["id"],
        "cicd.pipeline.task.name": body["job"]["name"],
        "circleci.duration_ms": MADE_UP_MS,
        "circleci.status": "success",
        "headgate.status": "success",
    }
    return [
        {
            "kind": "job",
            "provider_id": uuid_of(number),
            "project": "gh/DavidS/circleci-hook",
            "final": {**final, "circleci.job.number": number + 1000},
            "knowable": {},
            "rerun_of": None,
        }
        for number in range(MADE_UP)
    ]


def tell_five(folder: Path, runs_per_day: int, seconds: int) -> None:
    """Run it, and hold all that was stored against the truth."""
    began = datetime.now(UTC)
    ends = (began - HISTORY_ENDS).replace(microsecond=0)
    twin = TwinProcess(
        folder,
        *("--seed", "11", "--days", "1", "--projects", "3", "--runs-per-day", str(runs_per_day), "--rate-limit", "off"),
        *("--now", ends.isoformat().replace("+00:00", "Z")),
    )
    with ExitStack() as stack:
        stack.enter_context(twin)
        fakes = {name: stack.enter_context(FakeVendor(name, **OPTIONS.get(name, {}))) for name in PATHS}
        for name, paths in PATHS.items():
            fakes[name].answer(*({"cut": "after_store", "count": 1, "path": path} for path in paths), *RATES)
        polled = source(twin.url, twin.about()["orgs"], poll={"every": "15s", "initial": "3d"}, enrich="batch")
        sections = {name: {"type": name, **section} for name, section in sinks(fakes).items()}
        config = write_config(folder, sections, {"circleci": polled})
        daemon = stack.enter_context(Daemon(config, "--until-idle", "--timeout", str(seconds)))
        for number in range(MADE_UP):
            assert daemon.deliver(made_up_job(number)).status_code == 200
        assert daemon.wait(seconds + 10) == 0, daemon.text()[-3000:]
        truth = [*twin.truth(), *made_up_truth()]
        held = holdings(fakes)
        faults = {name: Counter(one["told"] for one in fake.requests()) for name, fake in fakes.items()}
    status = json.loads(headgate("status", "--json", "-c", str(config)).stdout)["sinks"]
    span = (began, datetime.now(UTC))

    for name, seen in faults.items():
        assert sum(seen.values()) - seen["judged"] >= len(PATHS[name]), f"{name}: too few faults: {seen}"
    assert {"cut=after_store", "status=503", "status=429"} <= set().union(*faults.values())
    lines = {row["record_id"]: row["native"]["line"] for row in (*held["loki.push"].told, *held["loki.push"].untold)}
    report = compare(truth, [line.encode() for line in lines.values()])
    assert report.clean, str(report)
    assert report.compared > 5 * len(truth)
    told = {own: json.loads(line) for own, line in lines.items()}
    check_repeats(held)
    check_figures(held, truth)
    by_id = {one["provider_id"]: one for one in truth}
    ids = {own: one["attributes"][OWN_ID[one["kind"]]] for own, one in told.items() if one["kind"] in RUNS}
    for signal in LIMITS:
        sink, _, name = signal.partition(".")
        check_ages(signal, held[signal].ids(), told, status[sink]["signals"][name], span)
        if signal != "datadog.ci":
            check_values(signal, (*held[signal].told, *held[signal].untold), told)
    check_ci((*held["datadog.ci"].told, *held["datadog.ci"].untold), by_id, ids)


@pytest.mark.timeout(180)
def test_five_sinks_that_fail_hold_what_happened(tmp_path: Path) -> None:
    """Nothing is lost; nothing is twice where the far side folds, and the same byte for byte where it does not."""
    tell_five(tmp_path, runs_per_day=20, seconds=120)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_sinks_that_fail_hold_what_happened_in_a_busy_day(tmp_path: Path) -> None:
    """The same of seven times as much."""
    tell_five(tmp_path, runs_per_day=150, seconds=600)
