r"""From the CSV of the usage export to observations: one row is one job run. Pure.

Columns are found by name, since CircleCI inserts new ones; `\N` is missing, times without a zone are UTC. A column
that nobody foresaw, or a value that is no number where one belongs, is kept under its own name in `other`.
Shape: tests/data/circleci/usage, and docs/circleci.md.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from headgate.core.errors import Unparsable
from headgate.core.facts import Value
from headgate.core.feeds import Span
from headgate.core.merge import Observation, ProjectRef
from headgate.core.status import is_terminal
from headgate.core.times import parse_ms
from headgate.sources.circleci.normalize import Context, observe
from headgate.sources.circleci.reading import integer, known, repository, text, uuid_text
from headgate.sources.circleci.vcs import ref_fields

__all__ = ["REQUIRED", "Row", "Totals", "begin", "job", "pipeline", "read_rows", "usage", "workflow"]

# Without these a row is about nothing that can be named, or adds up to nothing.
REQUIRED = ("PROJECT_ID", "WORKFLOW_ID", "JOB_ID", "TOTAL_CREDITS")
_MISSING = r"\N"
_SECOND_MS = 1000
# A workflow is made right after its pipeline, and its first job begins to wait within seconds: real rows and webhooks
# (tests/data/circleci) are 0.1 to 0.8 s apart. A rerun, or one that begins with an approval, is later.
_BEGINS_MS = 60 * _SECOND_MS


def _real(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _truth(value: str) -> bool | None:
    return {"true": True, "false": False}.get(value.strip().lower())


_Reader = Callable[[str], Value | None]
# Column -> field of the fact `usage`, and what reads it.
_FIELDS: dict[str, tuple[str, _Reader]] = {
    "JOB_ID": ("job_id", uuid_text),
    "WORKFLOW_ID": ("workflow_id", uuid_text),
    "WORKFLOW_NAME": ("workflow_name", text),
    "PIPELINE_ID": ("pipeline_id", uuid_text),
    "PIPELINE_NUMBER": ("pipeline_number", integer),
    "PIPELINE_TRIGGER_SOURCE": ("trigger_source", text),
    "PIPELINE_TRIGGER_USER_ID": ("trigger_user", text),
    "IS_UNREGISTERED_USER": ("unregistered_user", _truth),
    "VCS_BRANCH": ("ref_name", text),
    "JOB_NAME": ("job_name", text),
    "JOB_RUN_NUMBER": ("number", integer),
    "JOB_RUN_QUEUED_AT": ("queued_at", parse_ms),
    "JOB_RUN_STARTED_AT": ("started_at", parse_ms),
    "JOB_RUN_STOPPED_AT": ("stopped_at", parse_ms),
    "JOB_BUILD_STATUS": ("status", text),
    "RESOURCE_CLASS": ("resource_class", text),
    "OPERATING_SYSTEM": ("operating_system", text),
    "EXECUTOR": ("executor", text),
    "PARALLELISM": ("parallelism", integer),
    "JOB_RUN_SECONDS": ("run_seconds", integer),
    "MEDIAN_CPU_UTILIZATION_PCT": ("cpu_median_pct", _real),
    "MAX_CPU_UTILIZATION_PCT": ("cpu_max_pct", _real),
    "MEDIAN_RAM_UTILIZATION_PCT": ("ram_median_pct", _real),
    "MAX_RAM_UTILIZATION_PCT": ("ram_max_pct", _real),
    "COMPUTE_CREDITS": ("compute_credits", integer),
    "DLC_CREDITS": ("dlc_credits", integer),
    "USER_CREDITS": ("user_credits", integer),
    "STORAGE_CREDITS": ("storage_credits", integer),
    "NETWORK_CREDITS": ("network_credits", integer),
    "LEASE_CREDITS": ("lease_credits", integer),
    "LEASE_OVERAGE_CREDITS": ("lease_overage_credits", integer),
    "IPRANGES_CREDITS": ("ipranges_credits", integer),
    "TOTAL_CREDITS": ("total_credits", integer),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its ids, lower case, and what it says by column; columns without a value are absent."""

    job_id: str
    workflow_id: str
    project_id: str
    columns: Mapping[str, str]

    def at(self, column: str) -> int | None:
        """A time."""
        return parse_ms(self.columns.get(column))

    def number(self, column: str) -> int | None:
        """A whole number."""
        return integer(self.columns.get(column))

    def text(self, column: str) -> str | None:
        """Text that is not blank."""
        return text(self.columns.get(column))


def read_rows(lines: Iterable[str]) -> Iterator[Row | None]:
    """The rows of a file; None for one that is cut, too long, or lacks a readable id.

    Raises Unparsable: missing_column, with the names of the columns; bad_csv.
    """
    try:
        reader = csv.reader(lines, strict=True)
        header = [name.strip().upper() for name in next(reader, [])]
        lacking = [name for name in REQUIRED if name not in header]
        if lacking:
            raise Unparsable("missing_column", f"the usage export has no column {', '.join(lacking)}")
        for cells in reader:
            if cells:
                yield _row(header, cells)
    except csv.Error as exc:
        raise Unparsable("bad_csv", f"line {reader.line_num} of the usage export: {exc}") from exc


def _row(header: list[str], cells: list[str]) -> Row | None:
    if len(cells) != len(header):
        return None
    columns = {name: cell for name, cell in zip(header, cells, strict=True) if cell not in (_MISSING, "")}
    ids = [uuid_text(columns.get(name)) for name in ("JOB_ID", "WORKFLOW_ID", "PROJECT_ID")]
    job_id, workflow_id, project_id = ids
    if job_id is None or workflow_id is None or project_id is None:
        return None
    return Row(job_id, workflow_id, project_id, columns)


class Totals:
    """What workflows cost, over all rows of an export of one span.

    A sum is told only where it is known to be whole: the workflow has ended, and everything from the start of its
    first job to its end lies in the span, so that the export has a row of each of its jobs.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._sums: dict[str, int | None] = {}

    def add(self, row: Row) -> None:
        """Count one row."""
        credits_used = row.number("TOTAL_CREDITS")
        before = self._sums.get(row.workflow_id, 0)
        whole = before is not None and credits_used is not None and self._inside(row)
        self._sums[row.workflow_id] = before + credits_used if whole else None  # type: ignore[operator]  # both known

    def of(self, workflow_id: str) -> int | None:
        """The credits of a workflow; None where they are not known to be whole."""
        return self._sums.get(workflow_id)

    def _inside(self, row: Row) -> bool:
        began, ended = row.at("WORKFLOW_FIRST_JOB_STARTED_AT"), row.at("WORKFLOW_STOPPED_AT")
        # Times are whole seconds, so the end may be almost a second later.
        return (
            began is not None
            and ended is not None
            and self._span.since_ms <= began
            and ended + _SECOND_MS <= self._span.until_ms
        )


def usage(row: Row, owner: ProjectRef, ctx: Context) -> Observation:
    """The row itself, every column of it."""
    fields: dict[str, Value] = {}
    other: dict[str, object] = {}
    for name, cell in row.columns.items():
        field, reader = _FIELDS.get(name, ("", text))
        value = reader(cell)
        if field and value is not None:
            fields[field] = value
        else:
            other[name] = cell
    if other:
        fields["other"] = other
    return observe(ctx, "usage", row.job_id, owner, fields, source="export", terminal=True)


def job(row: Row, owner: ProjectRef, ctx: Context) -> Observation:
    """The job run of a row. The export tells the end of success and failure alone."""
    status, stopped_at = row.text("JOB_BUILD_STATUS"), row.at("JOB_RUN_STOPPED_AT")
    terminal = is_terminal(status, stopped=stopped_at is not None)
    fields = known(
        number=row.number("JOB_RUN_NUMBER"),
        name=row.text("JOB_NAME"),
        status=status,
        queued_at=row.at("JOB_RUN_QUEUED_AT"),
        started_at=row.at("JOB_RUN_STARTED_AT"),
        stopped_at=stopped_at if terminal else None,
        workflow_id=row.workflow_id,
        pipeline_id=uuid_text(row.columns.get("PIPELINE_ID")),
        resource_class=row.text("RESOURCE_CLASS"),
        executor=row.text("EXECUTOR"),
        parallelism=row.number("PARALLELISM") or None,
        credits=row.number("TOTAL_CREDITS"),
    )
    return observe(ctx, "job", row.job_id, owner, fields, source="export", terminal=terminal, enriches=True)


def workflow(row: Row, owner: ProjectRef, ctx: Context, credits_used: int | None) -> Observation:
    """The workflow that a row belongs to. `credits_used`: of all its rows, None where that is not known.

    Of all ends the export names success alone: any other workflow ends for us when another input says how.
    """
    stopped_at = row.at("WORKFLOW_STOPPED_AT")
    success = _truth(row.columns.get("IS_WORKFLOW_SUCCESSFUL", "")) is True and stopped_at is not None
    fields = known(
        name=row.text("WORKFLOW_NAME"),
        status="success" if success else None,
        stopped_at=stopped_at,
        pipeline_id=uuid_text(row.columns.get("PIPELINE_ID")),
        pipeline_number=row.number("PIPELINE_NUMBER"),
        trigger_type=row.text("PIPELINE_TRIGGER_SOURCE"),
        repository_url=repository(row.text("VCS_URL")),
        credits=credits_used,
        credits_estimated=None if credits_used is None else False,
    ) | ref_fields(row.text("VCS_BRANCH"), None)
    return observe(ctx, "workflow", row.workflow_id, owner, fields, source="export", terminal=success, enriches=True)


def begin(row: Row, owner: ProjectRef, ctx: Context) -> Observation | None:
    """When the workflow of a row began: when its first job began to wait, where that was right after its pipeline.

    Whatever any other input says of it is nearer, so this one never says that the workflow has ended.
    """
    made, queued = row.at("PIPELINE_CREATED_AT"), row.at("WORKFLOW_FIRST_JOB_QUEUED_AT")
    if made is None or queued is None or not -_SECOND_MS < queued - made < _BEGINS_MS:
        return None
    return observe(ctx, "workflow", row.workflow_id, owner, {"created_at": queued}, source="export")


def pipeline(row: Row, owner: ProjectRef, ctx: Context) -> Observation | None:
    """The pipeline of a row: number, time, trigger and branch; None where the row names none."""
    key = uuid_text(row.columns.get("PIPELINE_ID"))
    if key is None:
        return None
    fields = known(
        number=row.number("PIPELINE_NUMBER"),
        created_at=row.at("PIPELINE_CREATED_AT"),
        trigger_type=row.text("PIPELINE_TRIGGER_SOURCE"),
        repository_url=repository(row.text("VCS_URL")),
    ) | ref_fields(row.text("VCS_BRANCH"), None)
    return observe(ctx, "pipeline", key, owner, fields, source="export")
