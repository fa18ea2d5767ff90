"""`headgate detect`: what it prints, and the exit code of bad input."""

from __future__ import annotations

import json

import pytest

from headgate.cli.application import run_command

ROWS = ["duration_s,job", *(f"{100 + at % 7},test" for at in range(60)), *(f"{150 + at % 7},test" for at in range(40))]


@pytest.fixture
def series(tmp_path):
    """A series that becomes slower at row 60."""
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    return path


def asked(capsys, *words: object) -> tuple[int, str, str]:
    code = run_command(["detect", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_changes_are_one_json_list(capsys, series):
    """Each with exactly its index, before and after."""
    code, out, _ = asked(capsys, series, "--column", "duration_s", "--json")
    assert (0, [{"index": 60, "before": 103.0, "after": 153.0}]) == (code, json.loads(out))


def test_online_tells_the_row_at_which_it_is_first_reported(capsys, series):
    """A few runs after the change, and never before it; the change itself is beside it."""
    code, out, _ = asked(capsys, series, "--column", "duration_s", "--online", "--json")
    (told,) = json.loads(out)
    assert 0 == code
    assert 60 <= told["index"] <= 68
    assert abs(told["first_bad"] - 60) <= 8


def test_people_get_a_table_and_a_word_where_nothing_changed(capsys, series):
    """Names on top; a quiet series says so on stderr."""
    assert "Index\tKind\tBefore\tAfter\n60\tlevel\t103.0\t153.0\n" == asked(capsys, series, "--column", "duration_s")[1]
    assert asked(capsys, series, "--column", "duration_s", "--online")[1].startswith("Reported at\tChanged at\tKind")
    series.write_text("duration_s\n" + "5\n" * 100, encoding="utf-8")
    assert (0, "", "Nothing changed.\n") == asked(capsys, series, "--column", "duration_s")
    assert (0, "[]\n", "") == asked(capsys, series, "--column", "duration_s", "--json")
    assert (0, "[]\n", "") == asked(capsys, series, "--column", "duration_s", "--online", "--json")


def test_blank_cells_do_not_move_what_is_found(capsys, series):
    """Indexes are rows of the file; how many were passed over is said."""
    lines = series.read_text(encoding="utf-8").splitlines()
    series.write_text("\n".join([lines[0], *[",test"] * 10, *lines[1:]]) + "\n", encoding="utf-8")
    _, out, err = asked(capsys, series, "--column", "duration_s", "--json")
    assert [70] == [change["index"] for change in json.loads(out)]
    assert "10 blank cells" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--column", "duration"], "did you mean duration_s?"),
        (["--column", "job"], "line 2: job is 'test', not a number"),
        (["--column", "duration_s", "--detector", "chang_point"], "did you mean change_point?"),
        ([], "--column"),
    ],
    ids=["column", "words", "detector", "no column"],
)
def test_wrong_usage_is_refused(capsys, series, words, said):
    """Exit code 2, nothing on stdout, what to do on stderr."""
    code, out, err = asked(capsys, series, *words)
    assert (2, "") == (code, out)
    assert said in err
