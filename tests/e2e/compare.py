"""Holds what a sink was sent against what really happened.

Invariant: nothing here asks the product; the truth is the twin's, the bytes are the sink's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema_rs

# How a record's `sources` are called in the twin's `knowable`.
_KNOWABLE = {"webhook": "webhook", "v2": "v2", "v1.1": "v1.1", "detail": "v2.detail", "export": "export"}
# Lists of API v2 and the usage export give whole seconds; everything else gives milliseconds.
_COARSE = frozenset({"v2", "export"})
_TIMES = frozenset({"circleci.created_at", "circleci.queued_at", "circleci.started_at", "circleci.stopped_at"})
_SPANS = frozenset({"circleci.duration_ms", "circleci.queue_ms", "circleci.approval_wait_ms"})
# Where nothing but the export tells of a workflow, it began when its first job began to wait.
_BEGUN = frozenset({"circleci.created_at", "circleci.duration_ms"})
_BEGINS_SECONDS = 3.0
# A webhook calls jobs failed that the API knows to have timed out; without the API nobody can know.
_WORDS = frozenset({"circleci.status", "headgate.status"})
_SPEC = Path(__file__).parents[2] / "docs" / "spec" / "record-1.json"
_PUBLISHED = jsonschema_rs.Draft202012Validator(json.loads(_SPEC.read_text())["envelope"])
_OWN_ID = {"workflow": "cicd.pipeline.run.id", "job": "cicd.pipeline.task.run.id"}


@dataclass(frozen=True, slots=True)
class Folded:
    """Records of workflows and jobs by provider id, with what their amendments added.

    `twice`: record ids that came more than once. `altered`: those of them whose bytes were not the same each time.
    `orphans`: amendments of records that are not there.
    """

    records: Mapping[str, dict[str, Any]]
    twice: Mapping[str, int]
    altered: Sequence[str]
    orphans: Sequence[str]


@dataclass(slots=True)
class Report:
    """What is wrong: ids that never came, ids that never happened, ids that came twice, values that differ."""

    lost: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    duplicate: dict[str, int] = field(default_factory=dict)
    altered: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    compared: int = 0

    def __str__(self) -> str:
        counts = ", ".join(
            f"{len(found)} {name}"
            for name, found in (
                ("lost", self.lost),
                ("unknown", self.unknown),
                ("duplicate", self.duplicate),
                ("altered", self.altered),
                ("different", self.different),
            )
        )
        first = [*self.lost[:3], *self.unknown[:3], *self.altered[:3], *self.different[:12]]
        return "\n  ".join([f"{counts}; {self.compared} values compared", *first])

    @property
    def clean(self) -> bool:
        """Whether nothing at all is wrong; duplicates count."""
        return self.agrees and not self.duplicate

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong apart from records that came twice, byte for byte the same."""
        return not (self.lost or self.unknown or self.altered or self.different)


def fold(lines: Iterable[bytes]) -> Folded:
    """Apply each amendment to its record, in order of revision. Lines are records as JSON, each as was published.

    What an audit reports is told by the store that did it: one that was restored reports again, and otherwise.
    """
    seen: dict[str, bytes] = {}
    times: Counter[str] = Counter()
    altered: list[str] = []
    for line in lines:
        given = json.loads(line)
        own = given["id"]
        if given["kind"] == "audit":
            seen[own] = line
            continue
        times[own] += 1
        if seen.setdefault(own, line) != line:
            altered.append(own)
    parsed = {own: json.loads(line) for own, line in seen.items()}
    for record in parsed.values():
        _PUBLISHED.validate(record)
    records = {own: record for own, record in parsed.items() if record["kind"] in _OWN_ID}
    amendments = [record for record in parsed.values() if record["kind"] == "amendment"]
    orphans = []
    for one in sorted(amendments, key=lambda record: record["attributes"]["headgate.revision"]):
        base = records.get(one["attributes"]["headgate.amends"])
        if base is None:
            if one["attributes"]["headgate.amends"] not in parsed:
                orphans.append(one["id"])
            continue
        new = {
            key: value
            for key, value in one["attributes"].items()
            if not key.startswith(("headgate.amends", "headgate.rev"))
        }
        base["attributes"] |= new
        base["sources"] = sorted({*base["sources"], *one["sources"]})
    by_provider = {record["attributes"][_OWN_ID[record["kind"]]]: record for record in records.values()}
    assert len(by_provider) == len(records), "two records about one workflow or job"
    return Folded(by_provider, {own: n for own, n in times.items() if n > 1}, altered, orphans)


def compare(
    truth: Iterable[Mapping[str, Any]], lines: Iterable[bytes], delivered: Container[str] | None = None
) -> Report:
    """Hold the lines of a sink against the truth.

    `delivered`: provider ids whose own webhook arrived, None where all did. A workflow whose webhook was lost is also
    mentioned by those of its jobs, which makes none of its times as exact as its own would have.
    """
    folded = fold(lines)
    report = Report(duplicate=dict(folded.twice), altered=[*folded.altered, *folded.orphans])
    happened = {one["provider_id"]: one for one in truth}
    report.lost = sorted(happened.keys() - folded.records.keys())
    report.unknown = sorted(folded.records.keys() - happened.keys())
    for own in sorted(happened.keys() & folded.records.keys()):
        _compare_chain(happened[own], folded.records, report)
        coarse = _COARSE if delivered is None or own in delivered else _COARSE | {"webhook"}
        _compare_one(happened[own], folded.records[own], report, coarse)
    return report


def _compare_chain(one: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    """What a workflow repeats, which follows from its pipeline and when it was created wherever those are known.

    What it took over follows from v2.
    """
    record = records[one["provider_id"]]
    got, where = record["attributes"], f"{one['kind']} {one['provider_id']}"
    if one["kind"] != "workflow" or not {"circleci.pipeline.id", "circleci.created_at"} <= got.keys():
        return
    old = records.get(one["rerun_of"])
    if one["rerun_of"] is None or (old is not None and "circleci.pipeline.id" in old["attributes"]):
        report.compared += 1
        if got.get("circleci.rerun_of") != one["rerun_of"]:
            report.different.append(f"{where}: rerun_of is {got.get('circleci.rerun_of')}, not {one['rerun_of']}")
        if ("circleci.attempt" in got) != (one["rerun_of"] is not None):
            report.different.append(f"{where}: attempt is {got.get('circleci.attempt')}")
    if "v2" in record["sources"] and got.get("circleci.partial_rerun", False) != one["partial_rerun"]:
        report.different.append(f"{where}: partial_rerun is {got.get('circleci.partial_rerun')}")


def _compare_one(one: Mapping[str, Any], record: Mapping[str, Any], report: Report, coarse: frozenset[str]) -> None:
    got, final, sources = record["attributes"], one["final"], record["sources"]
    told = {name: set(one["knowable"].get(_KNOWABLE.get(name, name), ())) for name in sources}
    knowable = set().union(*told.values())
    where = f"{one['kind']} {one['provider_id']} from {'+'.join(sources)}"
    if record["kind"] != one["kind"] or record["project"] != one["project"]:
        report.different.append(f"{where}: {record['kind']} of {record['project']}, not of {one['project']}")
    report.different.extend(f"{where}: {name} is missing" for name in sorted(knowable - got.keys()))
    for name in sorted(got.keys() & final.keys()):
        if name in _WORDS and name not in knowable:
            continue
        exact = any(name in told[source] for source in sources if source not in coarse)
        report.compared += 1
        if name in _BEGUN and one["kind"] == "workflow" and "circleci.created_at" not in knowable:
            near = _distance(name, final[name], got[name]) < _BEGINS_SECONDS
        else:
            near = _equal(name, final[name], got[name], exact=exact)
        if not near:
            report.different.append(f"{where}: {name} is {got[name]!r}, not {final[name]!r}")


def _equal(name: str, wanted: Any, got: Any, *, exact: bool) -> bool:
    if wanted == got and type(wanted) is type(got):
        return True
    if exact:
        return False
    if name in _TIMES:
        return bool(_seconds(wanted) == datetime.fromisoformat(got).timestamp())
    return name in _SPANS and isinstance(got, int) and got >= 0 and abs(got - wanted) <= 1000


def _distance(name: str, wanted: Any, got: Any) -> float:
    """Seconds between two times or spans."""
    if name in _SPANS:
        return abs(got - wanted) / 1000
    return abs(datetime.fromisoformat(got).timestamp() - datetime.fromisoformat(wanted).timestamp())


def _seconds(text: str) -> float:
    """A time without its fraction, as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(microsecond=0).timestamp()


def statuses(truth: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How many workflows and jobs ended how, in our words: what the product's counters must say."""
    counted: dict[str, Counter[str]] = {}
    for one in truth:
        counted.setdefault(one["kind"], Counter())[one["final"]["headgate.status"]] += 1
    return {kind: dict(words) for kind, words in counted.items()}
