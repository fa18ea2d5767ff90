"""`headgate query`: a metric by group or in steps, for people, as JSON and as CSV; the exit code of bad input."""

import csv
import json

import pytest
from tests.unit.insights.world import DAY, NOW, World, keep

from headgate.cli.application import run_command
from headgate.core.times import format_ms

SINCE, UNTIL = NOW - 8 * DAY, NOW - DAY
WHEN = ("--since", format_ms(SINCE), "--until", format_ms(UNTIL))


@pytest.fixture(scope="module")
def world():
    made = World(60)
    for run in made.runs[:20]:
        run["branch"] = "=HYPERLINK()\t\u202e"
    return made


@pytest.fixture(scope="module")
def config(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("query")
    store = keep(folder, world)
    path = folder / "headgate.yaml"
    owners = "owners: [{match: {project: gh/acme/web}, team: web}]"
    kpis = "kpis: {runs_each: {formula: runs / 2}}"
    path.write_text(f"version: 1\nstore: {{url: 'sqlite://{store}'}}\n{owners}\n{kpis}\n", encoding="utf-8")
    return path


def asked(capsys, config, *words):
    code = run_command(["query", *words, "-c", str(config)])
    said = capsys.readouterr()
    return code, said.out, said.err


def counted(world, name):
    found = {}
    for run in world.runs:
        if SINCE <= run["stopped"] < UNTIL and run["status"] != "not_run":
            found[run[name]] = found.get(run[name], 0) + 1
    return found


def test_groups_as_json_are_the_count(capsys, config, world):
    """One object a line, highest first, with the sample."""
    code, out, _ = asked(capsys, config, "runs", "--by", "project", *WHEN, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (0, counted(world, "project")) == (code, {row["project"]: row["runs"] for row in rows})
    assert [row["n"] for row in rows] == sorted((row["n"] for row in rows), reverse=True)


def test_groups_as_csv_are_no_formulas(capsys, config, world):
    """RFC 4180, read back; a cell that a spreadsheet would run begins with an apostrophe."""
    code, out, _ = asked(capsys, config, "runs", "--by", "branch", *WHEN, "--csv")
    names, *rows = csv.reader(out.splitlines())
    assert (0, ["branch", "runs", "n"]) == (code, names)
    assert counted(world, "branch") == {row[0].removeprefix("'"): float(row[1]) for row in rows}
    assert not [row for row in rows if row[0].startswith("=")]


def test_steps_are_rows(capsys, config, world):
    """Each step in which something counts; filters are taken."""
    where = ("--where", "branch=main", "--where", "team=web")
    code, out, _ = asked(capsys, config, "runs", *WHEN, *where, "--step", "1d", "--json")
    expected = {}
    for run in world.runs:
        named = (run["project"], run["branch"]) == ("gh/acme/web", "main") and run["status"] != "not_run"
        if named and SINCE <= run["stopped"] < UNTIL:
            at = format_ms(max(SINCE, run["stopped"] // DAY * DAY))
            expected[at] = expected.get(at, 0) + 1
    assert (0, expected) == (code, {row["at"]: row["runs"] for row in map(json.loads, out.splitlines())})


def test_people_get_a_table_with_the_unit(capsys, config):
    """KPIs of the configuration too; more groups than are shown are said; nothing is said to be nothing."""
    code, out, err = asked(capsys, config, "runs_each", "--by", "project", *WHEN, "--limit", "1")
    assert (0, "project\truns_each (1)\tn", 2) == (code, out.splitlines()[0], len(out.splitlines()))
    assert "3 groups, the first 1 are shown" in err
    code, out, err = asked(capsys, config, "runs", "--since", "2020-01-01", "--until", "2020-02-01")
    assert (0, "") == (code, out)
    assert "Nothing counts for runs from 2020-01-01" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sucess_rate",), "did you mean success_rate?"),
        (("runs", "--by", "job"), "runs has no 'job'"),
        (("runs", "--since", "soon"), "'soon' is not a time"),
        (("runs", "--since", "1d", "--until", "2d"), "must be before"),
        (("runs", "--where", "project=gh/acme/wep"), "did you mean gh/acme/web?"),
        (("runs", "--step", "5m"), "is not a step"),
    ],
)
def test_bad_input_is_told_and_is_no_success(capsys, config, words, said):
    """One line on stderr, nothing on stdout."""
    code, out, err = asked(capsys, config, *words)
    assert code != 0
    assert "" == out
    assert said in err
