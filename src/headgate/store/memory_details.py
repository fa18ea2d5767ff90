"""The questions about the parts of many runs to the store in memory; see `core.detailport.ReadDetails`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from headgate.core.detailrows import (
    CREDIT_KINDS,
    MOST_FAILED_TESTS,
    MOST_PERCENT,
    USAGE_NAMES,
    AuditedDay,
    FailedJob,
    FailedStep,
    FailedTest,
    NodeSum,
    OutageSum,
    Percents,
    RepeatSum,
    RerunSum,
    TestRun,
    UsageLoad,
    UsageName,
    UsageSum,
)
from headgate.core.outages import sum_outages
from headgate.core.repeats import repeats_in, sum_repeats
from headgate.core.runrows import JobRow, LiveChoice, LiveRow, RunChoice
from headgate.core.status import FAILED, map_status
from headgate.core.tally import Bounds, Dimension
from headgate.core.times import DAY_MS
from headgate.store import memory_live
from headgate.store.memory_facts import MemoryFact, MemoryFacts
from headgate.store.memory_runs import jobs, number, runs, text
from headgate.store.releases import end_ms
from headgate.store.schema import encode_key

__all__ = ["MemoryDetails"]

_PLACE = ("workflow_name", "job_name", "resource_class", "executor", "operating_system")
_AUDITED = ("expected", "present", "repaired", "unrepairable", "unannounced")
_LONGEST_JOB_MS = 6 * 3_600_000
Place = tuple[str, str, str, str, str, str]
Key = tuple[str, str, str]


class MemoryDetails:
    """Answers from `facts`, worked out anew each time."""

    facts: MemoryFacts

    async def in_flight(
        self,
        limit: int,
        chosen: LiveChoice = LiveChoice(),  # noqa: B008  # frozen, takes everything
        *,
        newest: bool = False,
    ) -> Sequence[LiveRow]:
        return memory_live.in_flight(self.facts, limit, chosen, newest=newest)

    async def live_counts(
        self,
        run: RunChoice = RunChoice(),  # noqa: B008  # frozen, takes everything
    ) -> Mapping[tuple[str, str, str, str], int]:
        return memory_live.live_counts(self.facts, run)

    def _slug(self, fact: MemoryFact) -> str:
        return self.facts.projects.by_id[fact.project].slug

    def _of_kind(self, kind: str) -> Iterator[MemoryFact]:
        return (fact for fact in self.facts.all() if fact.kind == kind)

    def _rows(self, bounds: Bounds) -> Iterator[tuple[int, str, MemoryFact]]:
        """When each row was, its project and the row."""
        for fact in self._of_kind("usage"):
            times = (number(fact.known.values, name) for name in ("stopped_at", "started_at", "queued_at"))
            at = next((one for one in times if one is not None), fact.seen_ms)
            slug = self._slug(fact)
            since_ms, until_ms = bounds.get(slug, (0, 0))
            if since_ms <= at < until_ms:
                yield at, slug, fact

    def _usage(self, bounds: Bounds) -> dict[Place, list[MemoryFact]]:
        found: dict[Place, list[MemoryFact]] = {}
        for _, slug, fact in self._rows(bounds):
            workflow, job, size, executor, system = (text(fact.known.values, name) for name in _PLACE)
            found.setdefault((slug, workflow, job, size, executor, system), []).append(fact)
        return dict(sorted(found.items()))

    async def usage_days(self, bounds: Bounds) -> Mapping[str, Sequence[int]]:
        found: dict[str, set[int]] = {}
        for at, slug, _ in self._rows(bounds):
            found.setdefault(slug, set()).add(at // DAY_MS * DAY_MS)
        return {slug: sorted(days) for slug, days in sorted(found.items())}

    async def usage_sums(self, bounds: Bounds, by: Collection[UsageName] = USAGE_NAMES) -> Sequence[UsageSum]:
        found: dict[Place, list[MemoryFact]] = {}
        for (slug, *names), facts in self._usage(bounds).items():
            known = (text if name in by else "" for name, text in zip(USAGE_NAMES, names, strict=True))
            workflow, job, size, executor, system = known
            found.setdefault((slug, workflow, job, size, executor, system), []).extend(facts)
        return [_sum(key, facts) for key, facts in sorted(found.items())]

    async def usage_loads(self, bounds: Bounds) -> Sequence[UsageLoad]:
        found = []
        for key, facts in self._usage(bounds).items():
            ram, median, highest = (_percents(facts, f"{name}_pct") for name in ("ram_max", "cpu_median", "cpu_max"))
            compute = sum(number(fact.known.values, "compute_credits") or 0 for fact in facts)
            found.append(UsageLoad(*key, len(facts), compute, ram, median, highest))
        return found

    async def failed_jobs(self, bounds: Bounds, *, limit: int, alone: bool = False) -> Sequence[FailedJob]:
        found = []
        for row in jobs(self.facts):
            since_ms, until_ms = bounds.get(row.project, (0, 0))
            if row.status in FAILED and since_ms <= row.stopped_ms < until_ms:
                found.append(row)
        found.sort(key=_order, reverse=True)
        failed = [self._failed(row) for row in found[:limit]]
        if not alone:
            return failed
        less = {"ref": "", "revision": "", "trigger": "", "url": ""}
        return [msgspec.structs.replace(one, row=msgspec.structs.replace(one.row, **less)) for one in failed]

    def _failed(self, row: JobRow) -> FailedJob:
        own = next(fact for fact in self._of_kind("job") if fact.key == row.job_id).known.values
        notes = own.get("messages")
        parts = [fact for fact in self.facts.all() if fact.known.values.get("job_id") == row.job_id]
        tests = [fact for fact in parts if fact.kind == "test_result" and text(fact.known.values, "result") == "fail"]
        tests.sort(key=lambda fact: (text(fact.known.values, "name"), _bytes(fact.key)))
        steps = [fact for fact in parts if fact.kind == "step"]
        steps = [fact for fact in steps if map_status(text(fact.known.values, "status")) in FAILED]
        steps.sort(key=_step_place)
        return FailedJob(
            row=row,
            steps=tuple(_step(fact) for fact in steps),
            tests=tuple(_test(fact) for fact in tests[:MOST_FAILED_TESTS]),
            tests_failed=len(tests),
            notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
        )

    async def test_runs(self, project: str, test_id: str, window: tuple[int, int], *, limit: int) -> Sequence[TestRun]:
        found = [
            fact
            for fact in self._of_kind("test_result")
            if (self._slug(fact), text(fact.known.values, "test_id")) == (project, test_id)
            and window[0] <= (end_ms(fact.known) or -1) < window[1]
        ]
        found.sort(key=lambda fact: (end_ms(fact.known) or 0, _bytes(fact.key)), reverse=True)
        return [self._test_run(fact) for fact in found[:limit]]

    def _test_run(self, fact: MemoryFact) -> TestRun:
        own, view = fact.known.values, self.facts.view(fact)
        of_job = view.job.values if view.job else {}
        shared = {
            **(view.pipeline.values if view.pipeline else {}),
            **(view.workflow.values if view.workflow else {}),
        }
        return TestRun(
            **{name: text(own, name) for name in ("test_id", "name", "suite", "class_name", "file", "result")},
            infra=map_status(text(of_job, "status")) == "error",
            run_ms=number(own, "run_ms"),
            message=text(own, "message"),
            node=number(own, "node"),
            stopped_ms=end_ms(fact.known) or 0,
            job_id=text(own, "job_id"),
            job=text(of_job, "name"),
            workflow_id=text(of_job, "workflow_id"),
            workflow=text(view.workflow.values, "name") if view.workflow else "",
            ref=text(shared, "ref_name"),
            revision=text(shared, "revision"),
            number=number(of_job, "number"),
            branch_class=self.facts.branch_class(fact) if view.job else 0,
        )

    async def node_sums(self, bounds: Bounds) -> Sequence[NodeSum]:
        spans: dict[str, dict[int, tuple[int, int]]] = {}
        ended = {row.job_id: row for row in jobs(self.facts)}
        for fact in self._of_kind("step"):
            own, stopped = fact.known.values, end_ms(fact.known)
            began, row = number(own, "started_at"), ended.get(text(own, "job_id"))
            if row is None or stopped is None or began is None:
                continue
            since_ms, until_ms = bounds.get(row.project, (0, 0))
            if since_ms <= row.stopped_ms < until_ms and since_ms - _LONGEST_JOB_MS <= stopped < until_ms:
                nodes, node = spans.setdefault(row.job_id, {}), number(own, "node") or 0
                first, last = nodes.get(node, (began, stopped))
                nodes[node] = (min(first, began), max(last, stopped))
        groups: dict[Key, list[list[int]]] = {}
        for job_id, nodes in spans.items():
            if len(nodes) > 1:
                row = ended[job_id]
                key = (row.project, row.workflow, row.job)
                groups.setdefault(key, []).append([last - first for first, last in nodes.values()])
        return [
            NodeSum(
                *key,
                runs=len(spread),
                nodes=max(map(len, spread)),
                slowest_ms=sum(map(max, spread)),
                mean_ms=sum(int(sum(one) / len(one)) for one in spread),
            )
            for key, spread in sorted(groups.items())
        ]

    async def audited_days(self, since_ms: int, until_ms: int) -> Sequence[AuditedDay]:
        sums: dict[tuple[str, int], list[int]] = {}
        for fact in self._of_kind("audit"):
            values = fact.known.values
            hour, figures = number(values, "hour") or 0, [number(values, name) or 0 for name in _AUDITED]
            if since_ms <= hour < until_ms and figures[0]:
                day = sums.setdefault((self._slug(fact), hour // DAY_MS * DAY_MS), [0] * len(_AUDITED))
                day[:] = [old + more for old, more in zip(day, figures, strict=True)]
        return [AuditedDay(*key, *figures) for key, figures in sorted(sums.items())]

    async def repeat_sums(self, bounds: Bounds, *, by: Collection[Dimension]) -> Sequence[RepeatSum]:
        return sum_repeats(repeats_in(runs(self.facts), bounds), by)

    async def outage_sums(self, bounds: Bounds, *, by: Collection[Dimension], least_ms: int) -> Sequence[OutageSum]:
        ordered = sorted(runs(self.facts), key=lambda run: _place(run.stopped_ms, run.workflow_id))
        return sum_outages(ordered, bounds, by, least_ms)

    async def rerun_sums(self, bounds: Bounds) -> Sequence[RerunSum]:
        repeats = {run.workflow_id for run in repeats_in(runs(self.facts), bounds)}
        groups: dict[Key, list[JobRow]] = {}
        for row in jobs(self.facts):
            if row.workflow_id in repeats and row.type != "approval" and row.status != "skipped":
                groups.setdefault((row.project, row.workflow, row.job), []).append(row)
        return [
            RerunSum(
                *key,
                jobs=len(rows),
                credits=sum(row.credits or 0 for row in rows),
                duration_ms=sum(row.duration_ms or 0 for row in rows),
            )
            for key, rows in sorted(groups.items())
        ]


def _bytes(key: str) -> tuple[bool, bytes]:
    """As the database orders keys: texts before bytes."""
    encoded = encode_key(key)
    return isinstance(encoded, bytes), encoded if isinstance(encoded, bytes) else encoded.encode()


def _place(at_ms: int, key: str) -> tuple[int, bool, bytes]:
    return at_ms, *_bytes(key)


def _order(row: JobRow) -> tuple[int, bool, bytes]:
    return _place(row.stopped_ms, row.job_id)


def _percents(facts: Sequence[MemoryFact], name: str) -> Percents:
    known = (fact.known.values.get(name) for fact in facts)
    whole = (math.ceil(value) for value in known if isinstance(value, (int, float)))
    return Percents.of(Counter(min(max(0, percent), MOST_PERCENT) for percent in whole))


def _sum(key: Place, facts: Sequence[MemoryFact]) -> UsageSum:
    def total(name: str) -> int:
        return sum(number(fact.known.values, name) or 0 for fact in facts)

    sums = {kind: total(f"{kind}_credits") for kind in CREDIT_KINDS}
    return UsageSum(
        *key,
        runs=len(facts),
        seconds=total("run_seconds"),
        credits={kind: n for kind, n in sums.items() if n},
        total=total("total_credits"),
    )


def _step_place(fact: MemoryFact) -> tuple[int, int, tuple[bool, bytes]]:
    own = fact.known.values
    index, node = number(own, "index"), number(own, "node")
    return -1 if index is None else index, -1 if node is None else node, _bytes(fact.key)


def _step(fact: MemoryFact) -> FailedStep:
    own = fact.known.values
    return FailedStep(
        step=text(own, "name"),
        index=number(own, "index"),
        node=number(own, "node") or 0,
        status=map_status(text(own, "status")),
        exit_code=number(own, "exit_code"),
        tail=text(own, "output_tail"),
    )


def _test(fact: MemoryFact) -> FailedTest:
    own = fact.known.values
    return FailedTest(text(own, "test_id"), text(own, "name"), text(own, "class_name"), text(own, "message"))
