"""From Insights' answers to observations of kinds `insight` and `flaky_test`: one pure function per kind of answer.

Invariant: numbers are CircleCI's own under flat names; null is absent, and nothing is computed but
`computed_success_rate`, which leaves canceled runs out. The key of an aggregate holds the UTC day on which it was asked
for, that of a series its bucket: so the same question amends during a day and makes a new record on the next.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from headgate.core.facts import Value
from headgate.core.merge import Observation, ProjectRef
from headgate.core.times import DAY_MS, format_ms, parse_ms
from headgate.sources.circleci.normalize import Context, observe
from headgate.sources.circleci.reading import Json, integer, known, objects, sub, text, texts, uuid_text

__all__ = [
    "About",
    "branches",
    "flaky_tests",
    "insight",
    "intervals",
    "jobs",
    "listed",
    "numbers",
    "org_summary",
    "owner_of",
    "project_summary",
    "test_metrics",
    "workflow_summary",
    "workflows",
]

# CircleCI's names that we write differently: seconds are called so, and the same number has one name.
_NAMES = {
    "mttr": "mttr_s",
    "total_duration_secs": "duration_total_s",
    "p95_duration_secs": "duration_p95_s",
    "median_duration_secs": "duration_median_s",
    "p95_duration": "duration_p95_s",
    "standard_deviation": "stddev",
}
# Whole numbers; all others are written as fractions even where they are whole, or a search engine that sees 1 first
# would cut 0.5 to 0.
_COUNTS = frozenset(
    {
        "all_projects",
        "average_test_count",
        "branches",
        "completed_runs",
        "failed_runs",
        "median_credits_used",
        "most_failed_tests_extra",
        "slowest_tests_extra",
        "successful_runs",
        "total_credits_used",
        "total_flaky_tests",
        "total_recoveries",
        "total_runs",
        "total_test_runs",
    }
)
# Attributes of an insight that are no number of CircleCI's (core.facts).
_TAKEN = frozenset({"subject", "window", "window_start", "window_end", "delay_ms"})
_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class About:
    """What some numbers are about. `window`: CircleCI's reporting window, empty where it does not say.

    `test`: name, class, file and reporter of one test.
    """

    subject: str
    window: str = ""
    workflow: str | None = None
    job: str | None = None
    branch: str | None = None
    test: Mapping[str, Value] | None = None


def numbers(metrics: Json, trends: Json | None = None) -> dict[str, int | float]:
    """Flat names and numbers of CircleCI's `metrics`, with `trends` as `trend_<name>`: ratios, kept as they are."""
    found: dict[str, int | float] = {}
    for name, value in metrics.items():
        if name == "duration_metrics":
            pairs = {f"duration_{_NAMES.get(inner, inner)}_s": one for inner, one in sub(value).items()}
        else:
            pairs = {_NAMES.get(name, name): value}
        for flat, one in pairs.items():
            _add(found, flat, one)
    good, bad = found.get("successful_runs"), found.get("failed_runs")
    if good is not None and bad is not None and good + bad > 0:
        found["computed_success_rate"] = good / (good + bad)
    for name, value in (trends or {}).items():
        _add(found, f"trend_{_NAMES.get(name, name).removesuffix('_s')}", value)
    return found


def _add(found: dict[str, int | float], name: str, value: object) -> None:
    flat = name.lower().replace("-", "_")
    if not isinstance(value, int | float) or isinstance(value, bool) or flat in _TAKEN or not _NAME.fullmatch(flat):
        return
    whole = integer(int(value)) if flat in _COUNTS and value == int(value) else None
    found[flat] = float(value) if whole is None else whole


def insight(
    ctx: Context,
    owner: ProjectRef,
    about: About,
    figures: Mapping[str, int | float],
    window: Json | None = None,
    *,
    bucket: str | None = None,
) -> Observation | None:
    """One aggregate; None where there is no number. `window` holds `window_start` and `window_end`, if any.

    `bucket`: start of the interval of a series, which has no delay: it may be as old as it likes.
    """
    if not figures:
        return None
    start, end = (_moment((window or {}).get(name)) for name in ("window_start", "window_end"))
    fields = known(
        subject=about.subject,
        window=about.window,
        workflow_name=about.workflow,
        job_name=about.job,
        ref_name=about.branch,
        window_start=start,
        window_end=end,
        delay_ms=None if end is None or bucket is not None else max(0, ctx.observed_ms - end),
        numbers=dict(figures),
    )
    test = dict(about.test or {})
    day = bucket or format_ms(ctx.observed_ms // DAY_MS * DAY_MS)[:10]
    of = [about.workflow, about.job, about.branch, *([_digest(test)] if test else [])]
    parts = [about.subject, _owner_key(owner), *of, about.window, day]
    return observe(ctx, "insight", _key(parts), owner, fields | test, source="insights", terminal=True)


def owner_of(owner: ProjectRef, given: Json) -> ProjectRef:
    """The project as an answer names it: ids tell a renamed project from another one that took over its slug."""
    ids = {name: found for name in ("project_id", "org_id") if (found := uuid_text(given.get(name)))}
    return replace(owner, **ids)


# --- Organisation and project -------------------------------------------------------------------------------------


def org_summary(
    given: Json, org: ProjectRef, projects: Mapping[str, ProjectRef], window: str, ctx: Context
) -> list[Observation]:
    """`/insights/{org-slug}/summary`; `projects`: those asked about, by name. Without `project-names` it has none."""
    whole = sub(given, "org_data")
    figures = numbers(sub(whole, "metrics"), sub(whole, "trends"))
    if figures and isinstance(given.get("all_projects"), list):
        figures["all_projects"] = len(given["all_projects"])
    found = [insight(ctx, org, About("org", window), figures)]
    for item in objects(given.get("org_project_data")):
        owner = projects.get(text(item.get("project_name")) or "")
        if owner is not None:
            figures = numbers(sub(item, "metrics"), sub(item, "trends"))
            found.append(insight(ctx, owner, About("org_project", window), figures))
    return _told(found)


def project_summary(given: Json, owner: ProjectRef, window: str, ctx: Context) -> list[Observation]:
    """`/insights/pages/{project-slug}/summary`: the project, and those workflows and branches that were asked for."""
    owner = owner_of(owner, given)
    whole = sub(given, "project_data")
    found = [insight(ctx, owner, About("project", window), numbers(sub(whole, "metrics"), sub(whole, "trends")))]
    for subject, key in (
        ("project_workflow", "project_workflow_data"),
        ("project_branch", "project_workflow_branch_data"),
    ):
        for item in objects(given.get(key)):
            about = About(subject, window, text(item.get("workflow_name")), branch=text(item.get("branch")))
            if about.workflow is not None:
                found.append(insight(ctx, owner, about, numbers(sub(item, "metrics"), sub(item, "trends"))))
    return _told(found)


def branches(given: Json, owner: ProjectRef, ctx: Context) -> list[Observation]:
    """`/insights/{project-slug}/branches`: how many Insights knows, 5,000 at most."""
    names = listed(given)
    return _told([insight(ctx, owner_of(owner, given), About("branches"), {"branches": len(names)})])


def listed(given: Json) -> list[str]:
    """Names of the branches that Insights knows, in its order."""
    return texts(given.get("branches"))


# --- Workflows and jobs -------------------------------------------------------------------------------------------


def workflows(items: Iterable[Json], owner: ProjectRef, window: str, ctx: Context) -> list[Observation]:
    """Items of `/insights/{project-slug}/workflows`, over all branches."""
    return _told(
        insight(ctx, owner_of(owner, item), About("workflow", window, name), numbers(sub(item, "metrics")), item)
        for item in items
        if (name := text(item.get("name"))) is not None
    )


def workflow_summary(given: Json, owner: ProjectRef, workflow: str, ctx: Context) -> list[Observation]:
    """`/insights/{project-slug}/workflows/{name}/summary`; the window is not CircleCI's to choose and not named."""
    metrics = sub(given, "metrics")
    figures = numbers(metrics, sub(given, "trends"))
    return _told([insight(ctx, owner, About("workflow_summary", workflow=workflow), figures, metrics)])


def jobs(items: Iterable[Json], owner: ProjectRef, workflow: str, window: str, ctx: Context) -> list[Observation]:
    """Items of `/insights/{project-slug}/workflows/{name}/jobs`, over all branches."""
    return _told(
        insight(ctx, owner, About("job", window, workflow, name), numbers(sub(item, "metrics")), item)
        for item in items
        if (name := text(item.get("name"))) is not None
    )


def intervals(items: Iterable[Json], owner: ProjectRef, workflow: str, window: str, ctx: Context) -> list[Observation]:
    """Items of the time series of a workflow's jobs on the default branch. `window`: `day` or `hour`."""
    found = []
    for item in items:
        name, bucket = text(item.get("name")), parse_ms(item.get("timestamp"))
        if name is not None and bucket is not None:
            about = About("job", window, workflow, name, owner.default_branch)
            span = {"window_start": item.get("timestamp"), "window_end": item.get("max_ended_at")}
            figures = numbers(sub(item, "metrics"))
            found.append(insight(ctx, owner, about, figures, span, bucket=format_ms(bucket)))
    return _told(found)


# --- Tests --------------------------------------------------------------------------------------------------------


def test_metrics(given: Json, owner: ProjectRef, workflow: str, ctx: Context) -> list[Observation]:
    """`/insights/{project-slug}/workflows/{name}/test-metrics`: of the ten latest runs, and their worst tests."""
    figures = numbers({name: value for name, value in given.items() if not isinstance(value, list)})
    runs = objects(given.get("test_runs"))
    for word in ("total", "success", "failure", "error", "skipped"):
        counts = [found for run in runs if (found := integer(sub(run, "test_counts").get(word))) is not None]
        if counts:
            figures[f"tests_{word}"] = sum(counts)
    told = [insight(ctx, owner, About("tests", workflow=workflow), figures)]
    worst = [*objects(given.get("most_failed_tests")), *objects(given.get("slowest_tests"))]
    for item in worst:
        test = _test(item)
        if test:
            about = About("test", workflow=workflow, job=text(item.get("job_name")), test=test)
            told.append(insight(ctx, owner, about, numbers(item)))
    return list({one.key: one for one in _told(told)}.values())


def flaky_tests(given: Json, owner: ProjectRef, ctx: Context) -> list[Observation]:
    """`/insights/{project-slug}/flaky-tests`, with keys in hyphens or snake_case: one fact per test, and their count.

    The list holds a test once for each flake. Its fact tells the latest; `time_wasted_ms` is that of all of them.
    """
    answer = _snake(given)
    tests: dict[str, list[Json]] = {}
    for item in map(_snake, objects(answer.get("flaky_tests"))):
        test = _test(item)
        if test:
            key = _key(["flaky_test", _owner_key(owner), _digest({**test, "source": None})])
            tests.setdefault(key, []).append(item)
    found = [_flaky(key, items, owner, ctx) for key, items in tests.items()]
    count = numbers({"total_flaky_tests": answer.get("total_flaky_tests")})
    return [*found, *_told([insight(ctx, owner, About("flaky_tests"), count)])]


def _flaky(key: str, items: list[Json], owner: ProjectRef, ctx: Context) -> Observation:
    last = max(
        items, key=lambda item: (parse_ms(item.get("workflow_created_at")) or 0, integer(item.get("job_number")) or 0)
    )
    test = _test(last)
    test["name"] = test.pop("test_name")
    wasted = [seconds for item in items if (seconds := integer(item.get("time_wasted"))) is not None]
    flaked = [times for item in items if (times := integer(item.get("times_flaked"))) is not None]
    fields = known(
        times_flaked=max(flaked, default=None),
        time_wasted_ms=sum(wasted) * 1000 if wasted else None,
        job_name=text(last.get("job_name")),
        job_number=integer(last.get("job_number")),
        workflow_id=uuid_text(last.get("workflow_id")),
        workflow_name=text(last.get("workflow_name")),
        workflow_created_at=parse_ms(last.get("workflow_created_at")),
        pipeline_number=integer(last.get("pipeline_number")),
    )
    return observe(ctx, "flaky_test", key, owner, fields | test, source="insights", terminal=True)


def _test(item: Json) -> dict[str, Value]:
    """Fields of a test; empty without a name."""
    name = text(item.get("test_name"))
    if name is None:
        return {}
    return known(
        test_name=name,
        class_name=text(item.get("classname")),
        file=text(item.get("file")),
        source=text(item.get("source")),
    )


# --- Small change -------------------------------------------------------------------------------------------------


def _snake(given: Json) -> dict[str, object]:
    return {name.replace("-", "_"): value for name, value in given.items()}


def _moment(value: object) -> int | None:
    """A time; CircleCI writes the epoch where nothing was counted."""
    return parse_ms(value) or None


def _owner_key(owner: ProjectRef) -> str:
    if owner.slug == owner.org:
        return owner.org_id or owner.org
    return owner.project_id or owner.slug


def _key(parts: list[str | None]) -> str:
    return msgspec.json.encode(parts).decode()


def _digest(test: Mapping[str, Value | None]) -> str:
    """A short name of a test, which may be as long as it likes itself."""
    words = [test.get(name) for name in ("class_name", "file", "test_name", "source")]
    return hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:32]


def _told(found: Iterable[Observation | None]) -> list[Observation]:
    return [one for one in found if one is not None]
