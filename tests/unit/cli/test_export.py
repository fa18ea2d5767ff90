"""`headgate export` and `headgate report` over the store alone: files are whole, and read back."""

import csv
import json
import re

import openpyxl
import pytest
from tests.unit.insights.world import World, keep

from headgate.cli.application import run_command
from headgate.insights.tables import TABLES


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    world = World(60)
    for run in world.runs[:20]:
        run["branch"] = "=HYPERLINK()"
    path = folder / "headgate.yaml"
    store = keep(folder, world)
    path.write_text(f"version: 1\nstore: {{url: 'sqlite://{store}'}}\n", encoding="utf-8")
    return path


def ran(capfd, config, *words):
    code = run_command([*words, "-c", str(config)])
    said = capfd.readouterr()
    return code, said.out, said.err


SPAN = ("--since", "2026-10-01", "--until", "2026-11-25")
OF_WEB = ("--project", "gh/acme/web", *SPAN)


def test_a_table_on_standard_output(capfd, config):
    """CSV unless told otherwise; the same rows as JSON Lines."""
    code, out, _ = ran(capfd, config, "export", "runs", *OF_WEB)
    rows = list(csv.DictReader(out.splitlines()))
    assert (0, True) == (code, {"'=HYPERLINK()"} < {row["branch"] for row in rows})
    code, out, _ = ran(capfd, config, "export", "runs", *OF_WEB, "--format", "jsonl")
    listed = [json.loads(line) for line in out.splitlines()]
    assert [row["id"] for row in rows] == [one["id"] for one in listed]
    assert "=HYPERLINK()" in {one["branch"] for one in listed}


def test_a_file_has_the_format_of_its_name(capfd, config, tmp_path):
    """Whole, with a word about its size; nothing else is left."""
    path = tmp_path / "runs.xlsx"
    code, out, err = ran(capfd, config, "export", "runs", *OF_WEB, "-o", str(path))
    assert (0, "", f"headgate: {path}: {path.stat().st_size} bytes\n") == (code, out, err)
    names, *rows = openpyxl.load_workbook(path)["Table"].iter_rows(values_only=True)
    assert {"gh/acme/web"} == {row[names.index("project")] for row in rows}
    assert [path] == list(tmp_path.iterdir())


def test_words_of_a_table(capfd, config):
    """By options of their own and by --set."""
    words = ("--by", "project", "--set", "metric=runs", "--set", "where=project!=gh/acme/web")
    code, out, _ = ran(capfd, config, "export", "query", *words, *SPAN, "--format", "json")
    assert (0, {"gh/acme/api", "gh/beta/app"}) == (code, {row["project"] for row in json.loads(out)})
    code, out, _ = ran(capfd, config, "export", "runs", *OF_WEB, "--branch", "main", "--set", "status=success")
    rows = list(csv.DictReader(out.splitlines()))
    assert ({"main"}, {"success"}) == ({row["branch"] for row in rows}, {row["status"] for row in rows})


def test_records_of_a_time(capfd, config):
    """As sinks get them, a line each."""
    code, out, _ = ran(capfd, config, "export", "records", *SPAN, "--format", "jsonl")
    found = [json.loads(line) for line in out.splitlines()]
    assert (0, {"workflow", "job"}) == (code, {one["kind"] for one in found})
    assert all(one["schema"] == 1 and one["attributes"] for one in found)


def test_tables_are_listed(capfd, config):
    """For people and for scripts."""
    code, out, _ = ran(capfd, config, "export", "--list", "--json")
    assert (0, list(TABLES)) == (code, [json.loads(line)["name"] for line in out.splitlines()])
    code, out, _ = ran(capfd, config, "export", "--list")
    assert "workflow*" in next(line for line in out.splitlines() if line.startswith("jobs"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("export", "rnus"), 2, "did you mean runs"),
        (("export", "runs", "--format", "xls"), 2, "'xls' is no format; valid: csv"),
        (("export", "runs", "--project", "gh/acme/wbe"), 1, "did you mean gh/acme/web"),
        (("export", "runs", "--set", "status"), 2, "NAME=VALUE"),
        (("export",), 2, "say which table"),
        (("report", "weekly", "--until", "soon"), 1, "is not a time"),
        (("report", "weekly", "--project", "gh/none"), 1, "'gh/none' is not known"),
        (("report", "daily"), 2, "weekly"),
    ],
)
def test_what_is_refused(capfd, config, tmp_path, words, code, said):  # noqa: PLR0917  # a table of cases
    """With an exit code, words, and no file."""
    if len(words) > 1:
        words = (*words, "-o", str(tmp_path / "x.csv"))
    found, out, err = ran(capfd, config, *words)
    assert (code, "", True) == (found, out, said in err), err
    assert [] == list(tmp_path.iterdir())


def test_a_directory_that_is_not_there(capfd, config):
    """Is told as such."""
    code, _, err = ran(capfd, config, "export", "projects", "-o", "/nowhere/x.csv")
    assert (2, True) == (code, "No such file or directory" in err)
    code, _, err = ran(capfd, config, "report", "weekly", "-o", "/nowhere/x.html")
    assert (2, True) == (code, "No such file or directory" in err)


def test_a_report_is_a_file(capfd, config, tmp_path):
    """Of the last whole week before a time, with the runs of that week; or on standard output."""
    path = tmp_path / "week.html"
    code, _, err = ran(capfd, config, "report", "weekly", "--until", "2026-11-18", "-o", str(path))
    assert (0, f"headgate: {path}: {path.stat().st_size} bytes\n") == (code, err)
    text = path.read_text(encoding="utf-8")
    assert "CI week 2026-11-09 to 2026-11-16" in text
    assert float(re.search(r'data-tile="runs".*?data-value="([^"]*)"', text)[1]) > 0
    code, out, _ = ran(capfd, config, "report", "monthly", "--until", "2026-11-18", "--project", "gh/acme/*")
    assert (0, True, False) == (code, "CI month 2026-10-01 to 2026-11-01" in out, "gh/beta" in out)
