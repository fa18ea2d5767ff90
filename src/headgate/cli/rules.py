"""`headgate rules`: check files, test them against made-up runs, replay them over what was collected."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.output import ConfigOption, JsonOption, moment_ms, note, print_json, print_table
from headgate.cli.session import load_configuration, operations
from headgate.core.clock import SystemClock
from headgate.core.runrows import JobRow, RunRow, TestOutcome
from headgate.core.tally import Bounds
from headgate.core.times import format_ms

if TYPE_CHECKING:
    from headgate.alerting.rules import Rule
    from headgate.alerting.spec import Ground
    from headgate.alerting.view import DetectorFactory
    from headgate.app.rulepages import RuleOperations
    from headgate.app.settings import Configuration

__all__ = ["group"]

_MOST_LINES = 1000

group = typer.Typer()

Files = Annotated[list[str] | None, typer.Argument(help="Rule files; without any: those of the configuration.")]


def _row_line(row: dict[str, Any]) -> tuple[object, ...]:
    labels = " ".join(f"{key}={value}" for key, value in row["labels"].items())
    return row["at"], row["rule"], row["state"], row["value"], row["n"], labels


_COLUMNS = ("At", "Rule", "State", "Value", "n", "Labels")


@group.command("check")
def check(files: Files = None, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Say everything that is wrong with rule files; exit 1 when anything is."""
    from headgate.alerting.load import check_rules

    configuration = load_configuration(config) if config or not files else None
    if files or configuration is None:
        problems = check_rules(files or (), base=Path.cwd(), ground=_ground(configuration))
    else:
        rules = configuration.settings.alerts.rules
        problems = check_rules(rules, base=configuration.base, ground=_ground(configuration))
    for problem in problems:
        print_json(problem.as_json()) if json else print(problem)
    if not problems and not json:
        print("ok")
    return 1 if problems else 0


@group.command("test")
def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Test files: given runs, expected alerts.")],
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE", help="Configuration whose owners and KPIs hold; else none do."),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Run rule tests; exit 1 when one fails."""
    from headgate.alerting.ruletest import test_rules
    from headgate.app.measuring import owners_of

    configuration = load_configuration(config) if config else None
    results = test_rules(
        files,
        detectors=_detectors(),
        ground=_ground(configuration),
        owners=owners_of(configuration.settings.owners if configuration else ()),
    )
    for result in results:
        if json:
            for row in result.rows:
                print_json(row)
            continue
        print(f"{'ok  ' if not result.failures else 'BAD '}{result.file}: {result.name}")
        for failure in result.failures:
            print(f"      {failure}")
    return 1 if any(result.failures for result in results) else 0


@group.command("replay")
def replay(
    files: Files = None,
    since: Annotated[str, typer.Option("--since", help="Begin: 30d, 2026-11-20 or RFC 3339.")] = "30d",
    rule: Annotated[str | None, typer.Option("--rule", help="This rule only.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show what the rules would have sent over what was collected: every message, and how many a week."""
    from headgate.alerting.replay import per_week

    rules, rows = asyncio.run(_replayed(load_configuration(config), files, since, rule))
    if json:
        for row in rows:
            print_json(row)
        return
    print_table(_COLUMNS, [_row_line(row) for row in rows], empty="No rule would have sent anything.")
    print()
    print_table(("Rule", "Week of", "Firing", "Resolved"), per_week(rows, rules), empty="There is no such rule.")


@group.command("explain")
def explain(
    fingerprint: Annotated[str, typer.Argument(help="Of the alert, as `alerts list` prints it; its start is enough.")],
    since: Annotated[str, typer.Option("--since", help="Evaluations from: 24h, 2026-11-20 or RFC 3339.")] = "24h",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Show what became of one alert, and every evaluation of its group with its numbers; exit 1 for an unknown one."""
    found = asyncio.run(_explained(load_configuration(config), fingerprint, since))
    if found is None:
        print("no alert has such a fingerprint", file=sys.stderr)
        return 1
    lines, evaluations = found
    if json:
        for row in [*lines, *evaluations]:
            print_json(row)
        return 0
    columns = ("At", "From", "To", "Why", "Value", "Baseline", "n", "Told")
    print_table(columns, [_history_line(row) for row in lines], empty="Nothing has become of it.")
    print()
    seen = ("At", "Outcome", "State", "Value", "Baseline", "n", "New")
    print_table(seen, [_evaluation_line(row) for row in evaluations], empty="No evaluation in that time.")
    return 0


def _history_line(row: dict[str, Any]) -> tuple[object, ...]:
    told = ", ".join(row["told"]) if "told" in row else ""
    return row["at"], row["from"], row["to"], row["why"], row.get("value"), row.get("baseline"), row.get("n"), told


def _evaluation_line(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("at", "outcome", "state", "value", "baseline", "n", "n_new"))


def _detectors() -> DetectorFactory:
    from headgate.app.compose import context_of
    from headgate.app.detectors import detector_factory
    from headgate.core.metrics import NullMetrics
    from headgate.plugins import load_plugins

    return detector_factory(load_plugins(), context_of(SystemClock(), NullMetrics()))


def _ground(configuration: Configuration | None) -> Ground:
    from headgate.app.detectors import ground_of
    from headgate.plugins import load_plugins

    return ground_of(load_plugins(), configuration.settings if configuration else None)


def _rules(configuration: Configuration, files: list[str] | None) -> tuple[Rule, ...]:
    from headgate.alerting.load import load_rules

    ground = _ground(configuration)
    if files:
        return load_rules(files, base=Path.cwd(), ground=ground)
    return load_rules(configuration.settings.alerts.rules, base=configuration.base, ground=ground)


async def _in_force(ask: RuleOperations, configuration: Configuration) -> tuple[Rule, ...]:
    """The rules that the running daemon goes by, else those of the files. Raises ConfigError."""
    from headgate.alerting.load import check_rules, parse_rules

    texts = [(one["file"], one["text"]) for one in await ask.rule_texts()]
    rules, problems = parse_rules(texts, _ground(configuration))
    if not texts or problems:
        return _rules(configuration, None)
    wrong = check_rules(configuration.settings.alerts.rules, base=configuration.base, ground=_ground(configuration))
    if wrong:
        note(f"the rule files cannot be used, so the daemon goes by what it read before, as does this: {wrong[0]}")
    return rules


async def _replayed(
    configuration: Configuration, files: list[str] | None, since: str, only: str | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of the rules, and their messages."""
    from headgate.alerting.replay import replay_rules
    from headgate.app.measuring import owners_of

    clock = SystemClock()
    since_ms = moment_ms(since, clock)
    rules = _rules(configuration, files)
    chosen = [rule for rule in rules if only in (None, rule.name)]
    names = [rule.name for rule in chosen]
    if only is not None and not names:
        known = ", ".join(rule.name for rule in rules) or "none"
        raise typer.BadParameter(f"there is no rule {only}; there is: {known}", param_hint="--rule")
    for said in _out_of_retention(configuration, chosen, since_ms, clock.now_ms()):
        note(said)
    async with operations(configuration) as ask:
        found = replay_rules(
            _History(ask),
            rules,
            since_ms,
            clock.now_ms(),
            detectors=_detectors(),
            owners=owners_of(configuration.settings.owners),
            only=only,
        )
        return names, [row async for row in found]


def _out_of_retention(configuration: Configuration, rules: Sequence[Rule], since_ms: int, now_ms: int) -> Iterator[str]:
    """What these rules cannot see of the time that is asked for, since it is not kept any more."""
    kept = configuration.settings.store.retention
    tests = [rule.name for rule in rules if "tests" in rule.metric.families]
    for concerned, kept_ms, what in (
        ([rule.name for rule in rules], kept.facts, "runs and jobs are kept (store.retention.facts)"),
        (tests, kept.test_results, "results of tests are kept (store.retention.test_results)"),
    ):
        if concerned and since_ms < now_ms - kept_ms:
            first = format_ms(now_ms - kept_ms)
            yield f"{what} since {first}: of what was before, {', '.join(concerned)} can say nothing"


async def _explained(
    configuration: Configuration, fingerprint: str, since: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """History of an alert, oldest first, and its evaluations; None for an unknown one."""
    from headgate.alerting.replay import evaluations

    clock = SystemClock()
    since_ms = moment_ms(since, clock)
    async with operations(configuration) as ask:
        known = [row for row in await ask.alerts() if row["fingerprint"].startswith(fingerprint)]
        identity = known[0]["fingerprint"] if len(known) == 1 else fingerprint
        lines = (await ask.alert_history(identity, _MOST_LINES))[::-1]
        if not lines:
            return None
        rules = await _in_force(ask, configuration)
        rule = next((rule for rule in rules if rule.name == lines[-1]["rule"]), None)
        if rule is None:
            return lines, []
        labels = tuple(sorted((name, lines[-1]["labels"].get(name, "")) for name in rule.by))
        found = evaluations(_History(ask), rule, labels, since_ms, clock.now_ms(), detectors=_detectors())
        return lines, [row async for row in found]


class _History:
    """What a replay of rules reads, wherever it comes from."""

    def __init__(self, ask: RuleOperations) -> None:
        self._ask = ask

    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        """A page of ended workflows by end time, oldest first."""
        return [RunRow(**run) for run in await self._ask.history(since_ms, until_ms, after, limit)]

    async def jobs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[JobRow]:
        """A page of ended jobs by end time, oldest first."""
        return [JobRow(**job) for job in await self._ask.history(since_ms, until_ms, after, limit, "jobs")]

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        """A page of results by test and commit, of the one project in `bounds`."""
        ((project, (since_ms, until_ms)),) = bounds.items()
        behind = after[1:] if after else None
        found = await self._ask.test_outcomes(project, since_ms, until_ms, behind, limit, failing=failing)
        return [TestOutcome(**{**one, "jobs": tuple(one["jobs"])}) for one in found]
