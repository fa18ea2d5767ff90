"""What pages say by name exists: commands and their options, metrics, tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from headgate.app.settings import load
from headgate.cli.application import application
from headgate.core.metrics import METRICS
from headgate.plugins import Registry, load_plugins

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md", ROOT / "ARCHITECTURE.md"]
AUTHORITY = ROOT / "tests" / "unit" / "deliver" / "data" / "ca.pem"
CHECKLIST = ROOT / "docs" / "checklist.md"
# Groups of the checklist and how many lines each has.
NUMBERS = {"C": 16, "W": 9, "S": 8, "D": 10, "K": 8, "A": 9, "V": 10, "T": 7, "M": 4, "R": 3, "O": 7, "X": 6, "E": 6}
# What the project set out to do first; these lines say more than "later".
FIRST = re.findall(
    r"\w+",
    "C03 C05 C06 C10 C12 C13 C15 W01 W02 W03 W04 W05 W06 W07 S01 S02 S03 S04 S05 S06 S08 D01 D02 D03 D04 D05 D06 D07"
    " D08 D09 D10 K05 K06 O01 O02 O03 O04 O07 X01 X04 E01 E02 E03 E04 E06",
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree() -> Any:
    return typer.main.get_command(application)


@cache
def registry() -> Registry:
    return load_plugins()


def commands_in(text: str) -> Iterator[list[str]]:
    """Words of every command line in code, whether a block's line or between backquotes; comments left out."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for code in [line for block in blocks for line in block.splitlines()] + inline:
        found = re.match(r"(?:.*\s)?(?:\S*/bin/)?headgate ((?:[a-z]|-c\b|--)[^#|]*)", code)
        if found and not re.match(r".*(docker (run|build)|-t headgate|-v headgate|systemctl)", code):
            yield found[1].split()


def wrong_words(words: list[str]) -> list[str]:
    """What of a command line is neither a command nor one of its options."""
    here = tree()
    options: set[str] = set()
    wrong = []
    for word in words:
        inner = getattr(here, "commands", {})
        if word.startswith("-"):
            options = {one for param in here.params for one in (*param.opts, *param.secondary_opts)} | {"--help"}
            wrong += [] if word.partition("=")[0] in options else [word]
        elif inner and re.fullmatch(r"[a-z]+", word):
            if word not in inner:
                return [*wrong, word]
            here = inner[word]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_exist(page: Path) -> None:
    """Every command line in a page can be typed."""
    lines = [words for words in commands_in(page.read_text(encoding="utf-8")) if "|" not in "".join(words)]
    assert {" ".join(words): wrong for words in lines if (wrong := wrong_words(words))} == {}


def test_a_wrong_command_line_is_found() -> None:
    """The check above would see a mistake in each place."""
    block = "headgate run --untill-idle  # comment\n/opt/bin/headgate sinks reset x --start now"
    text = f"`headgate statsu` and\n```\n{block}\n```\n"
    assert [["run", "--untill-idle"], ["sinks", "reset", "x", "--start", "now"], ["statsu"]] == list(commands_in(text))
    assert [["--untill-idle"], [], ["statsu"]] == [wrong_words(words) for words in commands_in(text)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_metrics_exist(page: Path) -> None:
    """Every metric that a page names is one of ours."""
    found = re.findall(r"\bheadgate_[a-z_]+\b", page.read_text(encoding="utf-8"))
    plain = {re.sub(r"_(bucket|sum|count)$", "", one) for one in found}
    others = {"headgate_beacon", "headgate_circleci"}  # a module and a credential
    assert plain - METRICS.keys() - others == set()


# --- the checklist --------------------------------------------------------------------------------------------------


def checklist_rows() -> dict[str, tuple[str, list[str]]]:
    """Number -> (what is done, tests named)."""
    rows = re.findall(r"^\| ([A-Z]\d\d) \| (.*?) \| (.*?) \|$", CHECKLIST.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len({number for number, _, _ in rows}), "a number is there twice"
    return {number: (done, re.findall(r"`([\w/.]+::\w+)`", tests)) for number, done, tests in rows}


@cache
def functions_of(path: str) -> frozenset[str]:
    """Names of all test functions of a file, methods too."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_the_checklist_is_whole() -> None:
    """Every number is there once; what was set out to be done first is more than "later"."""
    rows = checklist_rows()
    assert {f"{group}{n:02}" for group, count in NUMBERS.items() for n in range(1, count + 1)} == rows.keys()
    assert [number for number in FIRST if rows[number][0].lower().startswith("later")] == []


def test_tests_named_by_the_checklist_exist() -> None:
    """Each path has a test of that name, and a line that names none says that it is not proven or comes later."""
    missing, silent = [], []
    for number, (done, tests) in checklist_rows().items():
        for one in tests:
            path, _, function = one.partition("::")
            if not (ROOT / path).is_file() or function not in functions_of(path):
                missing.append(f"{number}: {one}")
        if not tests and not re.search(r"later|not proven", done, re.IGNORECASE):
            silent.append(number)
    assert (missing, silent) == ([], [])


# --- pages of insights ----------------------------------------------------------------------------------------------

# Where tests are that the page names by their file alone, or not even by that.
_OF_PAGES = "tests/unit/web/site/"
_OF_BROWSER = "tests/e2e/test_site.py"


def named_tests(text: str) -> list[tuple[str, str]]:
    """File and function of every test that a page of insights names."""
    found = []
    for file, function in re.findall(r"`(?:([\w/.]+\.py)::)?(test_\w+)`", text):
        path = file if "/" in file else f"{_OF_PAGES}{file}" if file else _OF_BROWSER
        found.append((path, function))
    return found


def test_tests_named_by_the_page_of_insights_exist() -> None:
    """Every element of a page has a test, each test named is there, and no file stands for its tests."""
    text = (ROOT / "docs" / "insights.md").read_text(encoding="utf-8")
    named = named_tests(text)
    assert len(named) > 60
    assert [] == [one for one in named if not (ROOT / one[0]).is_file() or one[1] not in functions_of(one[0])]
    rows = re.findall(
        r"^\| (?!page|CircleCI|word|where|-)(.*) \|$", text.partition("## What stands behind")[0], re.MULTILINE
    )
    assert len(rows) > 40
    assert [] == [row for row in rows if not named_tests(row.rpartition(" | ")[2])]
    assert [] == re.findall(r"`[\w/]*test_\w+\.py`", "".join(row.rpartition(" | ")[2] for row in rows))


# --- lists of tests and benchmarks ----------------------------------------------------------------------------------


def test_each_end_to_end_file_is_listed() -> None:
    """docs/testing.md says what each shows."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
    assert sorted(re.findall(r"^\| `(test_\w+\.py)`", page, re.MULTILINE)) == files


def test_each_benchmark_is_listed() -> None:
    """docs/performance.md says what each measures."""
    source = (ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("## Measured")[0]
    named = re.findall(r'^    "([a-z-]+)": \w+\.\w+,$', source, re.MULTILINE)
    assert named
    assert sorted(re.findall(r"^\| `([a-z-]+)`", page, re.MULTILINE)) == sorted(named)


# --- configurations -------------------------------------------------------------------------------------------------


def examples() -> Iterator[Any]:
    """Every YAML block of a page that is a configuration, or a part of one."""
    for page in PAGES:
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for number, block in enumerate(blocks):
            data = yaml.safe_load(block)
            if isinstance(data, dict) and data.keys() & {"sources", "sinks", "alerts", "http"}:
                yield pytest.param(data, id=f"{name(page)}-{number}")


@pytest.mark.parametrize("data", list(examples()))
def test_examples_of_configurations_are_valid(data: dict[str, Any], tmp_path: Path) -> None:
    """What a page shows can be used with nothing but the environment variables and certificates that it names."""
    beacon = {"mine"}  # the sink that docs/plugins.md has yet to install
    data["sinks"] = {key: value for key, value in data.get("sinks", {}).items() if key not in beacon}
    file = tmp_path / "headgate.yaml"
    text = yaml.safe_dump({"version": 1, **data})
    file.write_text(re.sub(r"(?<=ca_file: ).*", str(AUTHORITY), text), encoding="utf-8")
    named = re.findall(r"\$\{([A-Z_]+)\}", file.read_text(encoding="utf-8"))
    # Without its secrets it is not looked for certificates either; those that are named are given.
    load(registry(), file=file, environ=dict.fromkeys(named, "http://made-up.example"), secrets=False)
