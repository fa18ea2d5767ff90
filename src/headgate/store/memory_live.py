"""Questions about what has not ended, and about tests and steps, to the store in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from headgate.core.runrows import LiveChoice, LiveRow, RunChoice, StepFailures, TestOutcome
from headgate.core.status import FAILED, map_status
from headgate.core.tally import Bounds
from headgate.store.memory_facts import MemoryFact, MemoryFacts
from headgate.store.memory_runs import number, run_name, shared_of, text, url_of
from headgate.store.releases import end_ms

__all__ = ["in_flight", "live_counts", "steps_failed", "test_outcomes", "test_words"]


def in_flight(facts: MemoryFacts, limit: int, chosen: LiveChoice, *, newest: bool) -> list[LiveRow]:
    """Workflows that have not ended and their jobs, by creation."""
    sign = -1 if newest else 1
    found = [row for row in _rows(facts) if chosen.takes(row)]
    return sorted(found, key=lambda row: (sign * row.created_ms, row.kind == "job", row.id))[:limit]


def live_counts(facts: MemoryFacts, run: RunChoice) -> dict[tuple[str, str, str, str], int]:
    """Workflows, and jobs that are queued, by status and place."""
    return Counter(
        (row.status, row.project, row.workflow, row.job)
        for row in _rows(facts)
        if (row.kind == "job") is (row.status == "queued") and run.takes(row)
    )


def _rows(facts: MemoryFacts) -> list[LiveRow]:
    open_runs = [fact for fact in facts.all() if fact.kind == "workflow" and _is_open(fact)]
    found: list[LiveRow] = []
    for run in open_runs:
        of_run = [
            fact
            for fact in facts.all()
            if (fact.kind, fact.host, fact.known.values.get("workflow_id")) == ("job", run.host, run.key)
        ]
        jobs = [job for job in of_run if _is_open(job) and _word(job) != "blocked"]
        holds = [_began(job) for job in jobs if _word(job) == "on_hold"]
        # Of one with a failed job CircleCI says `failing`, but all that is left waits for somebody.
        status = "on_hold" if holds and len(holds) == len(jobs) else _word(run)
        given = [end_ms(job.known) or 0 for job in of_run if text(job.known.values, "type") == "approval"]
        since = min(holds) if holds and status == "on_hold" else max([_created(run), *given])
        found.append(_live(facts, run, since, status))
        found += [_live(facts, job, _began(job), _word(job)) for job in jobs]
    return found


def _is_open(fact: MemoryFact) -> bool:
    return not fact.known.terminal and not fact.gone


def _word(fact: MemoryFact) -> str:
    return map_status(text(fact.known.values, "status"))


def _created(fact: MemoryFact) -> int:
    created = number(fact.known.values, "created_at")
    return fact.seen_ms if created is None else created


def _began(job: MemoryFact) -> int:
    """When the state of a job began: its start where it runs or is on hold, else when it was queued."""
    names = ("queued_at",) if _word(job) == "queued" else ("started_at", "queued_at")
    known = [at for name in names if (at := number(job.known.values, name)) is not None]
    return known[0] if known else _created(job)


def _live(facts: MemoryFacts, fact: MemoryFact, since_ms: int, status: str) -> LiveRow:
    own, shared = fact.known.values, shared_of(facts, fact)
    is_job = fact.kind == "job"
    url = url_of(facts, fact, text(own, "workflow_id") if is_job else fact.key)
    return LiveRow(
        kind="job" if is_job else "workflow",
        id=fact.key,
        project=facts.projects.by_id[fact.project].slug,
        workflow=run_name(facts, fact),
        job=text(own, "name") if is_job else "",
        ref=text(shared, "ref_name"),
        branch_class=facts.branch_class(fact),
        status=status,
        theirs=text(own, "status"),
        since_ms=since_ms,
        created_ms=_created(fact),
        url=f"{url}/jobs/{own['number']}" if is_job and url and "number" in own else url,
        trigger=text(shared, "trigger_type"),
    )


def _within(facts: MemoryFacts, fact: MemoryFact, bounds: Bounds) -> int | None:
    """The end of a leaf, where it lies within its project's bounds."""
    since_ms, until_ms = bounds.get(facts.projects.by_id[fact.project].slug, (0, 0))
    stopped = end_ms(fact.known)
    return stopped if stopped is not None and since_ms <= stopped < until_ms else None


def test_outcomes(
    facts: MemoryFacts, bounds: Bounds, after: tuple[str, str, str] | None, limit: int, *, failing: bool
) -> list[TestOutcome]:
    """Results by project, test and commit."""
    groups: dict[tuple[str, str, str], list[tuple[int, str, MemoryFact]]] = {}
    failed: set[tuple[str, str]] = set()
    for fact in facts.all():
        at = _within(facts, fact, bounds) if fact.kind == "test_result" else None
        test = text(fact.known.values, "test_id")
        if at is not None and test:
            slug, view = facts.projects.by_id[fact.project].slug, facts.view(fact)
            shared: Mapping[str, Any] = {
                **(view.pipeline.values if view.pipeline else {}),
                **(view.workflow.values if view.workflow else {}),
            }
            groups.setdefault((slug, test, text(shared, "revision")), []).append((at, fact.key, fact))
            if text(fact.known.values, "result") == "fail":
                failed.add((slug, test))
    wanted = (key for key in sorted(groups) if not failing or key[:2] in failed)
    ordered = [(key, groups[key]) for key in wanted if after is None or key > after]
    return [_outcome(facts, key, members) for key, members in ordered[:limit]]


def test_words(facts: MemoryFacts, bounds: Bounds) -> dict[tuple[str, str], set[tuple[str, ...]]]:
    """By project and test, the name, suite, class and file of its results."""
    found: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for fact in facts.all():
        at = _within(facts, fact, bounds) if fact.kind == "test_result" else None
        test = text(fact.known.values, "test_id")
        if at is not None and test:
            words = tuple(text(fact.known.values, name) for name in ("name", "suite", "class_name", "file"))
            found.setdefault((facts.projects.by_id[fact.project].slug, test), set()).add(words)
    return found


def _outcome(facts: MemoryFacts, key: tuple[str, str, str], members: list[tuple[int, str, MemoryFact]]) -> TestOutcome:
    jobs = [facts.view(fact).job for _, _, fact in members]
    names = {text(job.values, "name") for job in jobs if job is not None} - {""}
    broken = [job is not None and map_status(text(job.values, "status")) == "error" for job in jobs]
    results = [text(fact.known.values, "result") for _, _, fact in members]
    words = {
        name: max(text(fact.known.values, name) for _, _, fact in members)
        for name in ("name", "suite", "class_name", "file")
    }
    return TestOutcome(
        *key,
        **words,
        passed=results.count("pass"),
        failed=sum(one == "fail" and not bad for one, bad in zip(results, broken, strict=True)),
        infra=sum(one == "fail" and bad for one, bad in zip(results, broken, strict=True)),
        jobs=tuple(sorted(names)),
        first_ms=min(at for at, _, _ in members),
        last_ms=max(at for at, _, _ in members),
        run_ms=sum(number(fact.known.values, "run_ms") or 0 for _, _, fact in members),
        branch_class=max((_class_of(facts, fact) for _, _, fact in members), default=0),
    )


def _class_of(facts: MemoryFacts, fact: MemoryFact) -> int:
    """That of the job of a test result; 0 where the job is not known."""
    return facts.branch_class(fact) if facts.view(fact).job else 0


def steps_failed(facts: MemoryFacts, bounds: Bounds) -> list[StepFailures]:
    """Which steps failed how often."""
    ends: dict[tuple[str, str, str, str], list[int]] = {}
    for fact in facts.all():
        at = _within(facts, fact, bounds) if fact.kind == "step" else None
        if at is not None and _word(fact) in FAILED:
            view = facts.view(fact)
            job = text(view.job.values, "name") if view.job else ""
            run = text(view.workflow.values, "name") if view.workflow else ""
            key = (facts.projects.by_id[fact.project].slug, run, job, text(fact.known.values, "name"))
            ends.setdefault(key, []).append(at)
    return [StepFailures(*key, n=len(at), last_ms=max(at)) for key, at in sorted(ends.items())]
