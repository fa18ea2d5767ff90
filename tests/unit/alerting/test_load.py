"""Rule files: what is refused, where it says so, and what good files become."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from headgate.alerting.forms import rules_schema
from headgate.alerting.load import check_rules, default_rules_text, load_rules, parse_rules
from headgate.alerting.spec import Ground
from headgate.core.errors import ConfigError

SHIPPED = [
    "DefaultBranchFailing",
    "JobDurationChanged",
    "QueueTimeHigh",
    "RunStuck",
    "CreditsSpike",
    "FlakyTest",
    "ProjectSilent",
]
GOOD = """\
version: 1
defaults:
  every: 5m
groups:
  - name: main
    match: {branch: "@default"}
    rules:
      - alert: Dropped
        metric: success_rate
        by: [project, workflow]
        window: 24h
        threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}
        for_runs: 3
        labels: {team: web}
        annotations: {summary: "{{ value | pct }}"}
"""
SLOW = GOOD.replace("success_rate", "duration_p95").replace(
    '{warning: "< 80%", critical: "< 50%", recover: "> 90%"}', '"> 10m"'
)

REFUSED = {
    # id: (old text, new text, line, key, part of the message)
    "unknown-metric": ("success_rate", "sucess_rate", 9, "groups[0].rules[0].metric", "did you mean `success_rate`?"),
    "unknown-key-in-rule": ("window:", "windw:", 11, "groups[0].rules[0].windw", "did you mean `window`?"),
    "unknown-key-on-top": ("defaults:", "defalts:", 2, "defalts", "did you mean `defaults`?"),
    "unknown-key-in-defaults": ("every: 5m", "evry: 5m", 3, "defaults.evry", "did you mean `every`?"),
    "unknown-key-in-group": ("    match:", "    mach:", 6, "groups[0].mach", "did you mean `match`?"),
    "unknown-key-in-threshold": ("recover:", "recovr:", 12, "groups[0].rules[0].threshold.recovr", "`recover`?"),
    "missing-key": ("        window: 24h\n", "", 8, "groups[0].rules[0].window", "is required"),
    "by-that-the-metric-lacks": ("workflow]", "job]", 10, "groups[0].rules[0].by[1]", "has no 'job'"),
    "by-given-twice": ("workflow]", "project]", 10, "groups[0].rules[0].by[1]", "given twice"),
    "match-on-nothing": ("{branch:", "{brnch:", 6, "groups[0].match.brnch", "did you mean `branch`?"),
    "match-is-no-matcher": ('{branch: "@default"}', "[branch]", 6, "groups[0].match[0]", "is not a matcher"),
    "match-bad-pattern": ('{branch: "@default"}', '["branch=~("]', 6, "groups[0].match[0]", "is not a pattern"),
    "templated-label": ("team: web", 'team: "{{ x }}"', 14, "groups[0].rules[0].labels.team", "labels are fixed"),
    "label-is-a-dimension": ("team: web", "project: x", 14, "groups[0].rules[0].labels.project", "under `by`"),
    "label-name": ("team: web", "Team: web", 14, "groups[0].rules[0].labels.Team", "is not a label name"),
    "label-reserved": ("team: web", "alertname: x", 14, "groups[0].rules[0].labels.alertname", "not alertname"),
    "label-empty": ("team: web", 'team: ""', 14, "groups[0].rules[0].labels.team", "is empty"),
    "template": ("| pct }}", "| pct", 15, "groups[0].rules[0].annotations.summary", "not a template"),
    "template-filter": ("| pct", "| pc", 15, "groups[0].rules[0].annotations.summary", "not a template"),
    "duration-without-unit": ("24h", "24", 11, "groups[0].rules[0].window", "is not a duration"),
    "duration-as-percent": ("24h", "24%", 11, "groups[0].rules[0].window", "is not a duration"),
    "points-for-percent": ("< 80%", "< 80pp", 12, "groups[0].rules[0].threshold.warning", "pp are differences"),
    "duration-for-percent": ("< 80%", "< 80s", 12, "groups[0].rules[0].threshold.warning", "a percentage is compared"),
    "ratio-above-one": ("< 80%", "< 80", 12, "groups[0].rules[0].threshold.warning", "ratio from 0 to 1"),
    "no-operator": ("< 80%", "80%", 12, "groups[0].rules[0].threshold.warning", "is not a condition"),
    "critical-before-warning": ("< 50%", "< 85%", 12, "groups[0].rules[0].threshold.critical", "swap the two"),
    "critical-other-way": ("< 50%", "> 50%", 12, "groups[0].rules[0].threshold.critical", "the other way"),
    "recover-overlaps": ("> 90%", "> 70%", 12, "groups[0].rules[0].threshold.recover", "still fires"),
    "recover-same-way": ("> 90%", "< 90%", 12, "groups[0].rules[0].threshold.recover", "the same way"),
    "recover-twice": ("for_runs: 3", "recover: {above: 90%}", 12, "groups[0].rules[0].threshold.recover", "twice"),
    "threshold-without-level": (
        '{warning: "< 80%", critical: "< 50%", recover: "> 90%"}',
        '{recover: "> 90%"}',
        12,
        "groups[0].rules[0].threshold",
        "needs warning or critical",
    ),
    "window-shorter-than-every": ("24h", "1m", 11, "groups[0].rules[0].window", "shorter than the time between"),
    "every-too-short": ("every: 5m", "every: 5ms", 8, "groups[0].rules[0].every", "at least 1s"),
    "for-runs-zero": ("for_runs: 3", "for_runs: 0", 13, "groups[0].rules[0].for_runs", "greater than or equal to 1"),
    "alert-name": ("Dropped", '"a b"', 8, "groups[0].rules[0].alert", "pattern"),
    "reserved-name": ("Dropped", "collectorstale", 8, "groups[0].rules[0].alert", "is taken (built in)"),
    "version": ("version: 1", "version: 2", 1, "version", "1"),
    "key-twice": ("for_runs: 3", "window: 2h", 13, "groups[0].rules[0].window", "given twice; first on line 11"),
    "not-yaml": ("by: [", "by: [[", 11, "", "not YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_file_is_refused_with_line_key_and_fix(case):
    """Each mistake names its line, its key path and what to do."""
    old, new, line, key, words = REFUSED[case]
    assert old in GOOD
    rules, problems = parse_rules([("rules.yaml", GOOD.replace(old, new, 1))])
    assert rules == ()
    assert [(problem.line, problem.key) for problem in problems] == [(line, key)], problems
    assert words in problems[0].text
    assert str(problems[0]).startswith(f"rules.yaml:{line}: ")


def test_a_good_file_becomes_rules_in_the_metrics_units():
    """Percentages are ratios, durations milliseconds, levels severest first; defaults fill the rest."""
    (rule,), problems = parse_rules([("rules.yaml", GOOD)])
    assert problems == []
    assert [(level, limit.value) for level, limit in rule.judge.levels] == [(2, 0.5), (1, 0.8)]
    assert (rule.judge.recover.value, rule.window_ms, rule.every_ms, rule.min_runs) == (0.9, 86_400_000, 300_000, 20)
    assert (rule.timing.for_runs, rule.timing.keep_firing_ms, rule.timing.gone_after_ms) == (3, 900_000, 172_800_000)
    assert rule.source == "rules.yaml:8"


def test_durations_are_compared_with_durations():
    """A duration metric takes a duration limit and holds it in seconds."""
    (rule,), problems = parse_rules([("rules.yaml", SLOW)])
    assert problems == []
    assert rule.judge.levels[0][1].value == 600


def test_a_bare_number_is_no_duration_limit():
    """A duration metric refuses a number without a unit."""
    _, problems = parse_rules([("rules.yaml", SLOW.replace("> 10m", "> 600"))])
    assert "compared with a duration" in problems[0].text


def test_names_are_unique_over_files_whatever_their_case():
    """The second use of a rule or group name is refused and says where the first is."""
    _, problems = parse_rules([("a.yaml", GOOD), ("b.yaml", GOOD.replace("Dropped", "DROPPED"))])
    assert [(problem.file, problem.key) for problem in problems] == [
        ("b.yaml", "groups[0].name"),
        ("b.yaml", "groups[0].rules[0].alert"),
    ]
    assert "taken (a.yaml:8)" in problems[1].text


def test_all_mistakes_are_found_at_once():
    """Several wrong keys and rules give several problems."""
    text = GOOD.replace("workflow]", "job]").replace("team: web", 'team: "{{ x }}"').replace("24h", "1m")
    assert len(parse_rules([("rules.yaml", text)])[1]) == 3


@pytest.mark.parametrize(
    "text", ["", "[]", "a: &a [*a]", "\tx", "version: 1\ngroups: []\n", "version: !!python/name:x y"]
)
def test_nonsense_is_a_problem_not_a_crash(text):
    """Empty, wrong, self-referring and tagged YAML is refused."""
    rules, problems = parse_rules([("rules.yaml", text)])
    assert rules == ()
    assert problems


def test_globs_are_read_in_order_and_must_find_something(tmp_path):
    """A glob takes every file once; one that finds nothing is a problem."""
    (tmp_path / "b.yaml").write_text(GOOD.replace("Dropped", "B").replace("main", "b"))
    (tmp_path / "a.yaml").write_text(GOOD)
    assert [rule.name for rule in load_rules(["*.yaml", "a.yaml"], base=tmp_path)] == ["Dropped", "B"]
    assert [problem.text for problem in check_rules(["none/*.yaml"], base=tmp_path)] == ["no such rule file"]
    with pytest.raises(ConfigError, match="no such rule file"):
        load_rules(["none/*.yaml"], base=tmp_path)


def test_a_problem_is_json_for_scripts(tmp_path):
    """`rules check --json` prints file, line, key and problem."""
    (tmp_path / "a.yaml").write_text(GOOD.replace("24h", "1m"))
    (problem,) = check_rules(["a.yaml"], base=tmp_path)
    assert set(problem.as_json()) == {"file", "line", "key", "problem"}


def test_the_shipped_rules_are_used_without_configuration():
    """No pattern means the shipped file, which is good."""
    assert [rule.name for rule in load_rules([])] == SHIPPED


def test_the_schema_takes_good_files_and_refuses_unknown_keys():
    """The published JSON Schema agrees with the loader about these files."""
    validator = jsonschema_rs.Draft202012Validator(rules_schema())
    kinds = (Path(__file__).parent / "rules" / "kinds.yaml").read_text()
    for text in (GOOD, SLOW, default_rules_text(), kinds):
        plain = json.loads(json.dumps(yaml.safe_load(text), default=str))  # an editor reads dates as text
        assert list(validator.iter_errors(plain)) == []
    assert list(validator.iter_errors(yaml.safe_load(GOOD.replace("window:", "windw:"))))


RULE = """\
version: 1
groups:
  - name: main
    rules:
      - alert: A
        by: [project, workflow]
"""
KINDS_REFUSED = {
    # id: (rest of the rule, key, part of the message)
    "no-kind": ("metric: runs", "alert", "says nothing of when it fires"),
    "two-kinds": ("{metric: runs, window: 1d, threshold: '> 1', event: main_broke}", "event", "is of one kind"),
    "no-metric": ("{window: 1d, threshold: '> 1'}", "metric", "is required"),
    "over": ("{metric: mttr, over: jobs, window: 1d, threshold: '> 1m'}", "over", "not over jobs"),
    "short-baseline": (
        "{metric: success_rate, window: 24h, compare: {baseline: 2d, drop: 10pp}}",
        "compare.baseline",
        "shorter than 3 windows",
    ),
    "few-weeks": (
        "{metric: runs, window: 24h, compare: {baseline: same_weekday 2w, drop: 30%}}",
        "compare.baseline",
        "shorter than 3 weeks",
    ),
    "no-direction": ("{metric: runs, window: 1d, compare: {baseline: 28d}}", "compare", "needs drop, increase"),
    "both-directions": (
        "{metric: runs, window: 1d, compare: {baseline: 28d, drop: 10%, increase: 10%}}",
        "compare",
        "exclude each other",
    ),
    "widen-a-count": (
        "{metric: runs, window: 1d, compare: {baseline: 28d, drop: 30%, widen: 7d}}",
        "compare.widen",
        "is for rates and durations",
    ),
    "widen-too-far": (
        "{metric: success_rate, window: 1d, compare: {baseline: 28d, drop: 10pp, widen: 10d}}",
        "compare.widen",
        "a third of the baseline",
    ),
    "percent-of-percent": (
        "{metric: success_rate, window: 1d, compare: {baseline: 28d, drop: 10%}}",
        "compare.drop",
        "percentage points",
    ),
    "points-of-count": ("{metric: runs, window: 1d, compare: {baseline: 28d, drop: 10pp}}", "compare.drop", "pp are"),
    "binomial-of-count": (
        "{metric: runs, window: 1d, compare: {baseline: 28d, drop: 10%, test: binomial}}",
        "compare.test",
        "is for proportions",
    ),
    "rank-of-share": (
        "{metric: success_rate, window: 1d, compare: {baseline: 28d, drop: 10pp, test: rank}}",
        "compare.test",
        "needs a baseline of windows",
    ),
    "recover-beyond": (
        "{metric: success_rate, window: 1d, compare: {baseline: 28d, drop: 10pp}, recover: {drop: 20pp}}",
        "recover.drop",
        "holds while the rule still fires",
    ),
    "floor-without-compare": ("{metric: runs, window: 1d, threshold: '> 1', floor: 2}", "floor", "belongs to compare"),
    "detect-without-job": ("{metric: duration_p95, over: jobs, detect: {}}", "by", "add job"),
    "detect-without-series": ("{metric: recoveries, detect: {}}", "metric", "no value of a single run"),
    "detector": (
        "{metric: duration_p95, detect: {detector: change_poin}}",
        "detect.detector",
        "did you mean `change_",
    ),
    "forecast-without-plan": ("forecast: {above: '{{ plan.credits }}'}", "forecast.above", "has no plan"),
    "slo-objective": ("slo: {objective: 100%, windows: [[1d, 2h, 3.0]]}", "slo.objective", "between 0% and 100%"),
    "slo-windows": ("slo: {objective: 90%, windows: [[1h, 2h, 3.0]]}", "slo.windows[0]", "must be the shorter one"),
    "flaky-by": ("{window: 7d, flaky: {}}", "by[1]", "has no 'workflow'"),
    "time-zone": (
        "{metric: runs, window: 1d, threshold: '> 1', calendar: {skip: [weekends], time_zone: Mars/Base}}",
        "calendar.time_zone",
        "unknown time zone",
    ),
    "no-holidays": (
        "{metric: runs, window: 1d, threshold: '> 1', calendar: {skip: [holidays]}}",
        "calendar.holidays",
        "no dates are given",
    ),
    "holiday-file": (
        "{metric: runs, window: 1d, threshold: '> 1', calendar: {skip: [holidays], holidays: nowhere.txt}}",
        "calendar.holidays",
        "cannot be read",
    ),
    "kind-typo": (
        "{metric: runs, window: 1d, compar: {baseline: 28d, drop: 10%}}",
        "compar",
        "did you mean `compare",
    ),
    "key-of-kind": ("slo: {objectiv: 90%, windows: [[1d, 2h, 3.0]]}", "slo.objectiv", "did you mean `objective`?"),
}


def written(rest: str) -> str:
    """A rule file with one rule that has these keys too."""
    return RULE + "".join(f"        {line}\n" for line in yaml.safe_dump(yaml.safe_load(rest)).splitlines())


@pytest.mark.parametrize("case", KINDS_REFUSED)
def test_what_a_kind_refuses_has_key_and_reason(case):
    """Each mistake in a kind's own keys names its key path and what to do."""
    rest, key, words = KINDS_REFUSED[case]
    loaded, problems = parse_rules([("rules.yaml", written(rest))])
    assert loaded == ()
    found = [problem.text for problem in problems if problem.key == f"groups[0].rules[0].{key}"]
    assert found, problems
    assert words in found[0]


def test_holidays_come_from_a_file(tmp_path):
    """Dates of a file beside the rules are skipped, in the calendar's time zone."""
    (tmp_path / "days.txt").write_text("# company\n2026-12-25  # Christmas\n")
    calendar = "{skip: [holidays], time_zone: Asia/Tokyo, holidays: days.txt}"
    rest = f"{{metric: runs, window: 1d, threshold: '> 1', calendar: {calendar}}}"
    (tmp_path / "r.yaml").write_text(written(rest))
    (rule,) = load_rules(["r.yaml"], base=tmp_path)
    assert rule.calendar.skips(1_798_124_400_000)  # 2026-12-24T15:00:00Z, midnight in Tokyo
    assert not rule.calendar.skips(1_798_124_399_999)


def test_one_mistake_in_a_list_is_one_problem():
    """A list whose only member is wrong is not also too short."""
    _, problems = parse_rules([("rules.yaml", written("stuck: {status: [runing], longer_than: 2h}"))])
    assert [problem.key for problem in problems] == ["groups[0].rules[0].stuck.status[0]"]
    _, problems = parse_rules([("rules.yaml", written("stuck: {status: [], longer_than: 2h}"))])
    assert [problem.key for problem in problems] == ["groups[0].rules[0].stuck.status"]


DAY = 86_400_000
LIMITS = {
    # id: (old text, new text, key, parts of the message)
    "window": ("24h", "401d", "groups[0].rules[0].window", ("401 d", "400 d (store.retention.facts)")),
    "wait": ("for_runs: 3", "for: 500d", "groups[0].rules[0].for", ("500 d", "400 d")),
    "default": ("every: 5m", "keep_firing_for: 500d", "groups[0].rules[0].keep_firing_for", ("500 d", "400 d")),
    "nonsense": ("24h", "99999999999999999999d", "groups[0].rules[0].window", ("400 d",)),
    "baseline": (
        'threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}',
        "compare: {baseline: same_weekday 60w, drop: 10pp}",
        "groups[0].rules[0].compare.baseline",
        ("420 d", "400 d"),
    ),
    "objective": (
        'threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}',
        "slo: {objective: 90%, windows: [[1d, 2h, 3.0], [500d, 1d, 1.5]]}",
        "groups[0].rules[0].slo.windows[1][0]",
        ("500 d", "400 d"),
    ),
}


@pytest.mark.parametrize("case", LIMITS)
def test_no_rule_looks_further_back_than_data_is_kept(case):
    """The refusal says how long it is kept, and by which setting."""
    old, new, key, words = LIMITS[case]
    text = GOOD.replace(old, new, 1)
    text = text.replace("        window: 24h\n", "") if case == "objective" else text
    rules, problems = parse_rules([("rules.yaml", text)])
    assert (rules, [problem.key for problem in problems]) == ((), [key])
    assert all(word in problems[0].text for word in words)


def test_the_limit_is_that_of_the_installation():
    """Shorter where less is kept; results of tests have a limit of their own; shipped rules make do with any."""
    flaky = GOOD.replace("success_rate", "flaky_score").replace("workflow]", "test]").replace("24h", "20d")
    flaky = flaky.replace('threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}', "flaky: {score: 90%}")
    flaky = flaky.replace('match: {branch: "@default"}', "match: {}")
    assert parse_rules([("r.yaml", flaky)])[1] == []
    (problem,) = parse_rules([("r.yaml", flaky)], Ground(tests_ms=14 * DAY))[1]
    assert problem.key == "groups[0].rules[0].window"
    assert "14 d (store.retention.test_results)" in problem.text
    assert parse_rules([("r.yaml", GOOD)], Ground(facts_ms=DAY // 2))[1]
    assert [rule.name for rule in load_rules([], ground=Ground(facts_ms=DAY, tests_ms=DAY))] == SHIPPED


WORDS = {
    "no-data": ("for_runs: 3", "no_data: alrt", "groups[0].rules[0].no_data", "did you mean `alert`?"),
    "stale": ("every: 5m", "stale: kep", "defaults.stale", "did you mean `keep`?"),
    "event": ("for_runs: 3", "event: main_brok", "groups[0].rules[0].event", "did you mean `main_broke`?"),
    "far-off": ("for_runs: 3", "no_data: zzz", "groups[0].rules[0].no_data", "known are alert, keep, ok"),
    "severity": ("team: web", "severity: critcal", "groups[0].rules[0].labels.severity", "did you mean `critical`?"),
    "over": ("for_runs: 3", "over: workflw", "groups[0].rules[0].over", "did you mean `workflow`?"),
    "status": (
        'threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}',
        "stuck: {status: [runing]}",
        "groups[0].rules[0].stuck.status[0]",
        "did you mean `running`?",
    ),
    "detector": (
        'threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}',
        "detect: {kind: chnge_point}",
        "groups[0].rules[0].detect.kind",
        "did you mean `change_point`?",
    ),
    "test": (
        'threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}',
        "compare: {baseline: 28d, drop: 10pp, test: binomal}",
        "groups[0].rules[0].compare.test",
        "did you mean `binomial`?",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_misspelt_word_names_the_nearest(case):
    """Every choice that is closed says what was meant; severities are open, but not to what is nearly a known one."""
    old, new, key, words = WORDS[case]
    _, problems = parse_rules([("rules.yaml", GOOD.replace(old, new, 1))])
    assert [problem.key for problem in problems] == [key], problems
    assert words in problems[0].text


@pytest.mark.parametrize("severity", ["critical", "page", "info", "sev1", "P2"])
def test_severities_of_ones_own_are_taken(severity):
    """Routes match on any word."""
    assert parse_rules([("rules.yaml", GOOD.replace("team: web", f"severity: {severity}"))])[1] == []
