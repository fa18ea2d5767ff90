"""One test: what became of it, each of its last results, and what its failures say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from headgate.core.detailrows import TestRun
from headgate.core.runrows import TestOutcome
from headgate.core.tally import class_name
from headgate.core.times import format_ms
from headgate.insights.dimensions import test_name
from headgate.insights.fingerprints import normalize, telling_line
from headgate.insights.flaky import FLAKY_SCORE, Evidence
from headgate.insights.lifecycle import Life, State, commits_of, life_of
from headgate.insights.transitions import transitions_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import Window

__all__ = ["MessageView", "OfClass", "OneTestPage", "ResultView", "one_test"]

_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class ResultView:
    """One result. `infrastructure`: its job ended as error, which says nothing of the test. `duration`: seconds."""

    result: str
    infrastructure: bool
    stopped_at: str
    duration: float | None
    node: int | None
    workflow_id: str
    workflow: str
    job: str
    branch: str
    revision: str
    number: int | None


@dataclass(frozen=True, slots=True)
class MessageView:
    """Failures that say the same. `text`: what they have in common; `sample`: the newest one's own words."""

    text: str
    sample: str
    count: int
    first_at: str
    last_at: str


@dataclass(frozen=True, slots=True)
class OfClass:
    """Results on the default branch (`@default`) or on others (`@other`), with a verdict of their own.

    `transition_rate`: share of commits on which it did otherwise than on the one before.
    """

    branch_class: str
    commits: int
    passes: int
    failures: int
    flakes: int
    flaky: bool
    flaky_score: float
    transition_rate: float | None


@dataclass(frozen=True, slots=True)
class OneTestPage:
    """`state`, `state_since`: what became of it if it flaked in the window or the one before; empty where it did not.

    `transition_rate`: of both classes of branches; `passed_on_retry`: commits on which it passed after it had failed.

    All other counts are of `results`, which are the newest of the window, oldest first; `more`: there are older ones.
    `flaky`: whether its score says so. `commits`: with a result. `jobs`: name -> results. `mean`: seconds of those that
    passed or failed.
    """

    project: str
    test_id: str
    name: str
    suite: str
    class_name: str
    file: str
    team: str
    since: str
    until: str
    state: State | None
    state_since: str | None
    flaky: bool
    flaky_score: float
    rate: float
    flakes: int
    passes: int
    failures: int
    skips: int
    infrastructure_failures: int
    commits: int
    transition_rate: float | None
    passed_on_retry: int
    classes: tuple[OfClass, ...]
    mean: float | None
    jobs: dict[str, int]
    results: tuple[ResultView, ...]
    more: bool
    messages: tuple[MessageView, ...]


async def one_test(lens: Lens, *, project: str, test: str, window: Window, limit: int = 500) -> OneTestPage:
    """A test by the slug of its project and its id. Raises Refused."""
    row = await lens.project(project)
    span = (window.since_ms, window.until_ms)
    read = await lens.store.test_runs(row.project, test.strip().lower(), span, limit=limit + 1)
    if not read:
        detail = (
            f"no result of test {test!r} in this window; `store.retention.test_results` says how long they are kept"
        )
        raise Refused("unknown-test", detail, parameter="test")
    runs = read[:limit][::-1]
    outcomes = _outcomes(row.project, runs)
    evidence = Evidence(row.project, runs[-1].test_id, test_name(runs[-1].class_name, runs[-1].name))
    for outcome in outcomes:
        evidence.add(outcome)
    retried = sum(_passed_on_retry(own) for own in _by_commit(runs).values())
    life = await _life(lens, row.project, runs[-1].test_id, window)
    times = [run.run_ms for run in runs if run.run_ms is not None and run.result in ("pass", "fail")]
    return OneTestPage(
        project=row.project,
        test_id=runs[-1].test_id,
        name=evidence.name,
        suite=runs[-1].suite,
        class_name=runs[-1].class_name,
        file=evidence.file,
        team=lens.owners.team(row.project, "", ""),
        since=window.since,
        until=window.until,
        state=life.state if life else None,
        state_since=format_ms(life.since_ms) if life else None,
        flaky=evidence.score >= FLAKY_SCORE,
        flaky_score=evidence.score,
        rate=evidence.rate,
        flakes=evidence.flakes,
        passes=evidence.passes,
        failures=sum(run.result == "fail" and not run.infra for run in runs),
        skips=sum(run.result == "skip" for run in runs),
        infrastructure_failures=evidence.infra,
        commits=len(outcomes),
        transition_rate=transitions_of(outcomes).rate,
        passed_on_retry=retried,
        classes=_classes(outcomes),
        mean=sum(times) / len(times) / 1000 if times else None,
        jobs=_jobs(runs),
        results=tuple(_result(run) for run in runs),
        more=len(read) > limit,
        messages=_messages(runs),
    )


async def _life(lens: Lens, project: str, test_id: str, window: Window) -> Life | None:
    """As lists of tests have it: by every commit of the window and of the one before it."""
    windows, of = (window.previous, window), [(project, test_id)]
    outcomes = [await lens.store.outcomes_of(one.bounds([project]), of) for one in windows]
    return life_of(commits_of(chain.from_iterable(outcomes)), window.since_ms)


def _outcomes(project: str, runs: Sequence[TestRun]) -> Sequence[TestOutcome]:
    """What came of the test on each commit, as the store counts it for many."""
    return [_outcome(project, revision, own) for revision, own in _by_commit(runs).items()]


def _by_commit(runs: Sequence[TestRun]) -> Mapping[str, Sequence[TestRun]]:
    commits: dict[str, list[TestRun]] = {}
    for run in runs:
        commits.setdefault(run.revision, []).append(run)
    return commits


def _passed_on_retry(own: Sequence[TestRun]) -> bool:
    """Whether a pass came after a failure that was not the machine's; results are in the order of their ends."""
    failed = [place for place, run in enumerate(own) if run.result == "fail" and not run.infra]
    return bool(failed) and any(run.result == "pass" for run in own[failed[0] :])


def _classes(outcomes: Sequence[TestOutcome]) -> tuple[OfClass, ...]:
    """The default branch first; those without a result are left out."""
    found = []
    for branch_class in (1, 0):
        own = [one for one in outcomes if one.branch_class == branch_class]
        evidence = Evidence("", "", "")
        for one in own:
            evidence.add(one)
        if own:
            found.append(
                OfClass(
                    branch_class=class_name(branch_class),
                    commits=len(own),
                    passes=evidence.passes,
                    failures=sum(one.failed for one in own),
                    flakes=evidence.flakes,
                    flaky=evidence.score >= FLAKY_SCORE,
                    flaky_score=evidence.score,
                    transition_rate=transitions_of(own).rate,
                )
            )
    return tuple(found)


def _outcome(project: str, revision: str, own: Sequence[TestRun]) -> TestOutcome:
    failed = [run for run in own if run.result == "fail"]
    return TestOutcome(
        project=project,
        test_id=own[0].test_id,
        revision=revision,
        name=own[-1].name,
        suite=own[-1].suite,
        class_name=own[-1].class_name,
        file=max(run.file for run in own),
        passed=sum(run.result == "pass" for run in own),
        failed=sum(not run.infra for run in failed),
        infra=sum(run.infra for run in failed),
        jobs=tuple(sorted({run.job for run in own} - {""})),
        first_ms=own[0].stopped_ms,
        last_ms=own[-1].stopped_ms,
        run_ms=sum(run.run_ms or 0 for run in own),
        branch_class=max(run.branch_class for run in own),
    )


def _jobs(runs: Sequence[TestRun]) -> dict[str, int]:
    names = [run.job for run in runs]
    return {name: names.count(name) for name in sorted(set(names))}


def _result(run: TestRun) -> ResultView:
    return ResultView(
        result=run.result,
        infrastructure=run.infra,
        stopped_at=format_ms(run.stopped_ms),
        duration=None if run.run_ms is None else run.run_ms / 1000,
        node=run.node,
        workflow_id=run.workflow_id,
        workflow=run.workflow,
        job=run.job,
        branch=run.ref,
        revision=run.revision,
        number=run.number,
    )


def _messages(runs: Sequence[TestRun]) -> tuple[MessageView, ...]:
    """Most frequent first."""
    found: dict[str, list[TestRun]] = {}
    for run in runs:
        if run.result == "fail":
            found.setdefault(normalize(telling_line(run.message)), []).append(run)
    views = [
        MessageView(
            text, own[-1].message[:_SAMPLE], len(own), format_ms(own[0].stopped_ms), format_ms(own[-1].stopped_ms)
        )
        for text, own in found.items()
    ]
    return tuple(sorted(views, key=lambda one: (-one.count, one.text)))
