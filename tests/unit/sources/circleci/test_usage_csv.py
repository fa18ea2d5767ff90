"""Rows of the usage export: every column of a real file, columns that move, sums that are known to be whole."""

from pathlib import Path

import pytest

from headgate.core.errors import Unparsable
from headgate.core.feeds import Span
from headgate.core.merge import EMPTY, Observation, ProjectRef, merge
from headgate.core.times import DAY_MS, parse_ms
from headgate.sources.circleci import usage_csv
from headgate.sources.circleci.normalize import Context
from headgate.sources.circleci.usage_csv import REQUIRED, Totals, read_rows

FILE = Path(__file__).parents[3] / "data" / "circleci" / "usage" / "usage-export.csv"
# Whoever published the file masked its ids with a word that no UUID holds.
LINES = FILE.read_text().replace("-test-4", "-7e57-4").replace("-test-a", "-7e57-a").splitlines()
OWNER = ProjectRef("circleci.com", "gh/faros-test/test-eng-services", "gh/faros-test")
CONTEXT = Context("circleci.com", 1)
DAY = Span(parse_ms("2025-07-02T00:00:00Z"), parse_ms("2025-07-03T00:00:00Z"))


def only(lines):
    """The rows, all of which must be readable."""
    found = list(read_rows(lines))
    assert None not in found
    return found


def changed(**cells):
    """The first row of the real file with other cells."""
    header = LINES[0].split(",")
    row = dict(zip(header, LINES[1].split(","), strict=True)) | cells
    return only([LINES[0], ",".join(row[name] for name in header)])[0]


def test_every_column_of_a_real_file_is_kept():
    """Those that have a field of their own as values, the rest by name; what is missing is absent."""
    row, second = only(LINES)
    found = usage_csv.usage(row, OWNER, CONTEXT)
    assert (found.kind, found.key, found.source, found.terminal) == ("usage", row.job_id, "export", True)
    assert found.fields == {
        "job_id": "725f4757-7e57-4fa5-b8c0-9c811969fc64",
        "workflow_id": "669f1257-7e57-4e5b-9c8c-bb081ce128e8",
        "stopped_at": parse_ms("2025-07-02T18:26:18Z"),
        "resource_class": "medium",
        "operating_system": "linux",
        "run_seconds": 8,
        "compute_credits": 5,
        "dlc_credits": 1,
        "user_credits": 2,
        "storage_credits": 0,
        "network_credits": 0,
        "lease_credits": 0,
        "lease_overage_credits": 0,
        "ipranges_credits": 0,
        "total_credits": 8,
        "status": "success",
        "queued_at": parse_ms("2025-07-02T18:26:08Z"),
        "started_at": parse_ms("2025-07-02T18:26:10Z"),
        "number": 8586,
        "job_name": "test-job",
        "workflow_name": "build-and-test",
        "pipeline_id": "3296b21b-7e57-4661-aafd-d4f4679a45e4",
        "pipeline_number": 528,
        "ref_name": "main",
        "executor": "docker",
        "parallelism": 1,
        "trigger_source": "webhook",
        "trigger_user": "062e4887-7e57-418b-ae12-c6403a7b8be2",
        "unregistered_user": False,
        "other": {
            "ORGANIZATION_ID": "abc42e68-1234-44e2-98d9-65607827557f",
            "ORGANIZATION_NAME": "faros-test-org",
            "ORGANIZATION_CREATED_DATE": "2023-04-27",
            "PROJECT_ID": "5b279a48-7e57-477f-9470-1f197f65f19b",
            "PROJECT_NAME": "test-eng-services",
            "PROJECT_CREATED_DATE": "2025-02-24",
            "LAST_BUILD_FINISHED_AT": "2025-07-02 18:31:31.424",
            "VCS_NAME": "github",
            "VCS_URL": "https://github.com/faros-test/test-repo",
            "PIPELINE_CREATED_AT": "2025-07-02 18:25:46.234",
            "WORKFLOW_FIRST_JOB_QUEUED_AT": "2025-07-02 18:25:47.000",
            "WORKFLOW_FIRST_JOB_STARTED_AT": "2025-07-02 18:25:48.000",
            "WORKFLOW_STOPPED_AT": "2025-07-02 18:27:17.000",
            "IS_WORKFLOW_SUCCESSFUL": "true",
            "JOB_RUN_DATE": "2025-07-02",
        },
    }
    other = usage_csv.usage(second, OWNER, CONTEXT).fields
    kinds = ("compute", "dlc", "user", "storage", "network", "lease", "lease_overage", "ipranges", "total")
    assert [other[f"{kind}_credits"] for kind in kinds] == [10, 0, 0, 1, 2, 0, 0, 0, 13]
    assert (other["number"], other["resource_class"], other["workflow_name"]) == (8587, "large", "deploy")
    assert not any(name.endswith("_pct") for name in other)


def test_a_row_tells_of_its_job_workflow_and_pipeline():
    """What other inputs tell too, under the same names."""
    row = only(LINES)[0]
    job = usage_csv.job(row, OWNER, CONTEXT)
    assert (job.key, job.terminal, job.enriches) == (row.job_id, True, True)
    assert job.fields == {
        "number": 8586,
        "name": "test-job",
        "status": "success",
        "queued_at": parse_ms("2025-07-02T18:26:08Z"),
        "started_at": parse_ms("2025-07-02T18:26:10Z"),
        "stopped_at": parse_ms("2025-07-02T18:26:18Z"),
        "workflow_id": row.workflow_id,
        "pipeline_id": "3296b21b-7e57-4661-aafd-d4f4679a45e4",
        "resource_class": "medium",
        "executor": "docker",
        "parallelism": 1,
        "credits": 8,
    }
    run = usage_csv.workflow(row, OWNER, CONTEXT, 8)
    assert (run.key, run.terminal, run.enriches) == (row.workflow_id, True, True)
    assert run.fields == {
        "name": "build-and-test",
        "status": "success",
        "stopped_at": parse_ms("2025-07-02T18:27:17Z"),
        "pipeline_id": "3296b21b-7e57-4661-aafd-d4f4679a45e4",
        "pipeline_number": 528,
        "trigger_type": "webhook",
        "repository_url": "https://github.com/faros-test/test-repo",
        "ref_name": "main",
        "ref_type": "branch",
        "credits": 8,
        "credits_estimated": False,
    }
    parent = usage_csv.pipeline(row, OWNER, CONTEXT)
    assert (parent.key, parent.terminal) == ("3296b21b-7e57-4661-aafd-d4f4679a45e4", False)
    assert parent.fields == {
        "number": 528,
        "created_at": parse_ms("2025-07-02T18:25:46.234Z"),
        "trigger_type": "webhook",
        "repository_url": "https://github.com/faros-test/test-repo",
        "ref_name": "main",
        "ref_type": "branch",
    }


def test_a_workflow_begins_with_its_first_job_right_after_its_pipeline():
    """Insights leaves out tags, and nothing else of history knows when they began."""
    found = usage_csv.begin(only(LINES)[0], OWNER, CONTEXT)
    assert (found.key, found.terminal, found.enriches) == ("669f1257-7e57-4e5b-9c8c-bb081ce128e8", False, False)
    assert {"created_at": parse_ms("2025-07-02T18:25:47Z")} == found.fields


@pytest.mark.parametrize(
    "cells",
    [
        {"WORKFLOW_FIRST_JOB_QUEUED_AT": "2025-07-02 18:26:47.000"},
        {"WORKFLOW_FIRST_JOB_QUEUED_AT": "2025-07-02 18:25:45.000"},
        {"WORKFLOW_FIRST_JOB_QUEUED_AT": r"\N"},
        {"PIPELINE_CREATED_AT": r"\N"},
    ],
    ids=["a rerun or an approval first", "before its pipeline", "no first job", "no pipeline"],
)
def test_a_workflow_of_which_that_is_not_sure_has_no_begin(cells):
    """Its first job does not tell when it was made."""
    assert usage_csv.begin(changed(**cells), OWNER, CONTEXT) is None


@pytest.mark.parametrize("source", ["insights", "v2", "webhook"])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_any_other_input_knows_better_when_a_workflow_began(source, terminal, first):
    """Whichever comes first, and whether or not it knows the end."""
    row = only(LINES)[0]
    told = [usage_csv.begin(row, OWNER, CONTEXT), usage_csv.workflow(row, OWNER, CONTEXT, 8)]
    fields = {"created_at": parse_ms("2025-07-02T18:25:46.400Z")}
    other = Observation("workflow", row.workflow_id, OWNER, source, 1, terminal, fields)
    known = EMPTY
    for one in [other, *told] if first else [*told, other]:
        known = merge(known, one)
    assert fields["created_at"] == known.values["created_at"]


def test_a_workflow_that_did_not_succeed_has_no_end_from_the_export():
    """Failed, canceled or running: the export does not say which."""
    run = usage_csv.workflow(changed(IS_WORKFLOW_SUCCESSFUL="false"), OWNER, CONTEXT, None)
    assert not run.terminal
    assert not {"status", "credits", "credits_estimated"} & run.fields.keys()


def test_a_job_without_an_end_has_ended_by_its_status():
    """The export tells the end of success and failure alone."""
    job = usage_csv.job(changed(JOB_BUILD_STATUS="canceled", JOB_RUN_STOPPED_AT="\\N"), OWNER, CONTEXT)
    assert job.terminal
    assert "stopped_at" not in job.fields


def test_figures_of_processor_and_memory_are_read():
    """Percent with decimals."""
    row = changed(MEDIAN_CPU_UTILIZATION_PCT="12.50", MAX_CPU_UTILIZATION_PCT="99", MEDIAN_RAM_UTILIZATION_PCT="1e1")
    fields = usage_csv.usage(row, OWNER, CONTEXT).fields
    assert (fields["cpu_median_pct"], fields["cpu_max_pct"], fields["ram_median_pct"]) == (12.5, 99.0, 10.0)


def test_columns_are_found_by_name():
    """One that is inserted is kept as it is; a value that is no number stays beside the numbers."""
    lines = ["NEW_THING," + LINES[0].lower(), "blue," + LINES[1]]
    fields = usage_csv.usage(only(lines)[0], OWNER, CONTEXT).fields
    assert fields["other"]["NEW_THING"] == "blue"
    assert fields["total_credits"] == 8
    odd = usage_csv.usage(changed(COMPUTE_CREDITS="5.5"), OWNER, CONTEXT).fields
    assert odd["other"]["COMPUTE_CREDITS"] == "5.5"
    assert "compute_credits" not in odd


@pytest.mark.parametrize("column", REQUIRED)
def test_a_required_column_that_is_missing_is_named(column):
    """Renamed is missing too."""
    header = [f"{name}_V2" if name == column else name for name in LINES[0].split(",")]
    with pytest.raises(Unparsable, match=f"no column {column}$") as caught:
        list(read_rows([",".join(header), LINES[1]]))
    assert caught.value.reason == "missing_column"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINES[1].rpartition(",")[0], id="cut"),
        pytest.param(LINES[1] + ",1", id="too long"),
        pytest.param(LINES[1].replace("725f4757-", "nonsense-"), id="no id"),
    ],
)
def test_a_row_that_cannot_be_used_is_passed_over(line):
    """The rows around it are read."""
    assert [row is None for row in read_rows([LINES[0], LINES[1], line, LINES[2]])] == [False, True, False]


def test_an_empty_file_lacks_every_column():
    """It is no export."""
    with pytest.raises(Unparsable, match="PROJECT_ID, WORKFLOW_ID, JOB_ID, TOTAL_CREDITS"):
        list(read_rows([]))


def test_broken_quotes_are_named_with_their_line():
    """The reader is strict."""
    with pytest.raises(Unparsable, match="line 2"):
        list(read_rows([LINES[0], '"a"b,' + LINES[1]]))


@pytest.mark.parametrize(
    ("cells", "whole"),
    [
        pytest.param({}, True, id="inside"),
        pytest.param({"WORKFLOW_STOPPED_AT": "\\N"}, False, id="goes on"),
        pytest.param({"WORKFLOW_STOPPED_AT": "2025-07-03 00:00:01.000"}, False, id="ends after midnight"),
        pytest.param({"WORKFLOW_STOPPED_AT": "2025-07-02 23:59:59.000"}, True, id="ends in the last second"),
        pytest.param({"WORKFLOW_FIRST_JOB_STARTED_AT": "2025-07-01 23:59:59.000"}, False, id="began before"),
        pytest.param({"TOTAL_CREDITS": "\\N"}, False, id="a row without credits"),
    ],
)
def test_a_sum_is_told_where_it_is_whole(cells, whole):
    """A workflow that reaches beyond the span may have rows elsewhere: its estimate stays."""
    totals = Totals(DAY)
    row = changed(**cells)
    totals.add(changed())
    totals.add(row)
    totals.add(changed())
    assert totals.of(row.workflow_id) == (24 if whole else None)
    assert totals.of("unheard of") is None


def test_the_bill_replaces_an_estimate_whatever_is_known_of_the_end():
    """Also for a workflow of which the export does not say that it ended; and in any order."""
    row = changed(IS_WORKFLOW_SUCCESSFUL="false")
    billed = usage_csv.workflow(row, OWNER, CONTEXT, 8)
    guess = {"status": "failed", "stopped_at": 7 * DAY_MS, "credits": 99, "credits_estimated": True}
    estimated = Observation("workflow", row.workflow_id, OWNER, "insights", 2, True, guess)
    for order in ((billed, estimated), (estimated, billed)):
        known = EMPTY
        for one in order:
            known = merge(known, one)
        assert (known.values["credits"], known.values["credits_estimated"]) == (8, False)
        assert (known.values["status"], known.values["stopped_at"]) == ("failed", 7 * DAY_MS)
