"""Pages that are written from the code. `make docs` rewrites them; the tests fail when one is out of date."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

import headgate.cli
from headgate.app.settings import Settings
from headgate.cli.application import application
from headgate.core.facts import FIELDS, FactKind
from headgate.core.metrics import METRICS
from headgate.core.record import KINDS, record_schema
from headgate.core.status import _TABLE
from headgate.plugins.docs import with_table
from headgate.sinks._measures import MEASURES
from headgate.sinks._tally import family_name
from headgate.sources.circleci.config import CircleCIConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"
_MARK = "<!-- Written by `make docs`; change the code, not this page. -->\n\n"


def metrics_page() -> str:
    rows = [
        f"| `{d.name}` | {d.kind} | {', '.join(f'`{label}`' for label in d.labels)} | {d.doc} |"
        for d in METRICS.values()
    ]
    return (
        f"# Metrics of Headgate itself\n\n{_MARK}Served at `/metrics`. Labels come from closed or configured sets.\n\n"
        "| name | kind | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def measures_page() -> str:
    """What records measure, for every sink that takes numbers."""
    rows = []
    for m in MEASURES:
        labels = ", ".join(f"`{label}`" for label in sorted(m.labels))
        shown = family_name(m) + ("_total" if m.instrument == "counter" else "")
        rows.append(f"| `{m.name}` | {m.unit} | {m.instrument} | `{m.kind}` | {labels} | {m.meaning} | `{shown}` |")
    return (
        f"# CI metrics\n\n{_MARK}What a record measures, the same in every sink that takes numbers; each renders"
        " the names in its vendor's way. A label is there where the record has the fact. `circleci.project` is the"
        " project's slug; tags of `records.tags` are labels too.\n\n"
        "| name | unit | instrument | record | labels | meaning | in Prometheus |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nAn `insight` record gives a gauge for each figure, `circleci.insight.<figure>`, where it is about a"
        " window up to now (`circleci.insight.window`) and all branches.\n"
    )


_TYPES = {"dim": "text", "uuid": "text", "ms": "time", "json": "list", "real": "number", "int": "integer"}
_COMPUTED = {
    "workflow": [
        ("cicd.pipeline.run.id", "text", "Id of the workflow run."),
        ("cicd.pipeline.run.url.full", "text", "Its page at CircleCI."),
        ("circleci.duration_ms", "int", "Creation to end, milliseconds."),
        ("headgate.status", "text", "Our status word."),
    ],
    "job": [
        ("cicd.pipeline.task.run.id", "text", "Id of the job."),
        ("cicd.pipeline.task.run.url.full", "text", "Its page at CircleCI."),
        ("cicd.pipeline.run.url.full", "text", "The page of its workflow."),
        ("circleci.duration_ms", "int", "Execution, milliseconds; absent for approvals."),
        ("circleci.queue_ms", "int", "Waiting for a machine, milliseconds."),
        ("circleci.approval_wait_ms", "int", "Waiting for a person, milliseconds; approvals only."),
        ("headgate.status", "text", "Our status word."),
    ],
}


def records_page() -> str:
    parts = [
        f"# Records\n\n{_MARK}The envelope is described by `headgate schema record`. Kinds: "
        + ", ".join(f"`{kind}`" for kind in KINDS)
        + ".\n\nA job's record also carries `cicd.pipeline.name`, the pipeline, trigger, `vcs.*`, author and commit"
        " of its workflow. Missing is absent, never blank or 0. An `amendment` carries `headgate.amends` (id of the"
        " record), `headgate.revision` and the names that changed. An `insight` carries each number as"
        " `circleci.insight.<name>` (the page of its source says which); one about an organisation has no project.\n"
    ]
    for kind in FIELDS:
        rows = _attribute_rows(kind)
        parts.append(f"\n## {kind}\n\n| attribute | type | meaning |\n|---|---|---|\n")
        parts.extend(f"| `{name}` | {_TYPES.get(kind_, kind_)} | {doc} |\n" for name, kind_, doc in sorted(rows))
    parts.append("\n## Status words\n\n| CircleCI | Headgate | final |\n|---|---|---|\n")
    parts.extend(
        f"| `{theirs}` | `{ours}` | {'yes' if final else 'no'} |\n" for theirs, (ours, final) in _TABLE.items()
    )
    parts.append("\nAny other word is `unknown`, and final once there is an end time.\n")
    return "".join(parts)


def published_record() -> dict[str, Any]:
    """What readers of records may rely on: the envelope, and the attributes of each kind with their types."""
    attributes = {
        kind: dict(sorted((row[0], _TYPES.get(row[1], row[1])) for row in _attribute_rows(kind))) for kind in FIELDS
    }
    return {"envelope": record_schema(), "attributes": attributes}


def _attribute_rows(kind: FactKind) -> list[tuple[str, str, str]]:
    return [(f.attribute, f.type, f.doc) for f in FIELDS[kind] if f.attribute] + _COMPUTED.get(kind, [])


def record_page() -> str:
    """`published_record` as the JSON file that later releases are compared with."""
    return json.dumps(published_record(), indent=2, ensure_ascii=False) + "\n"


def cli_page() -> str:
    """Every command with its arguments and options, from the tree of commands, so no terminal's width matters."""
    codes = next(part for part in (headgate.cli.__doc__ or "").split("\n\n") if part.startswith("Exit codes:"))
    head = (
        f"# Command line\n\n{_MARK}`headgate COMMAND --help` shows the same. {' '.join(codes.split())} 130:"
        " interrupted, or a question was answered with no.\n\nCommands that ask or change something talk to the"
        " running daemon of the same configuration; where none runs they open the store themselves. `check` and"
        " `webhooks` ask the far sides themselves. With `--json`"
        " data is printed as one JSON object a line; without it tables are for people, and on a pipe their cells are"
        " separated by tabs, below a line of their names.\n"
    )
    return head + "".join(_commands(typer.main.get_command(application), "headgate"))


def _commands(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    words = [part for param in command.params if param.param_type_name == "argument" for part in [_argument(param)]]
    usage = " ".join([path, "[OPTIONS]", *(["COMMAND"] if inner else words)])
    yield f"\n## {path}\n\n{command.help}\n\n```\n{usage}\n```\n"
    rows = [_row(param) for param in command.params]
    if rows:
        yield "\n| argument or option | meaning | default |\n|---|---|---|\n" + "".join(rows)
    for name, one in inner.items():
        yield from _commands(one, f"{path} {name}")


def _argument(param: Any) -> str:
    word = param.name.upper() + ("..." if param.nargs == -1 else "")
    return word if param.required else f"[{word}]"


def _row(param: Any) -> str:
    if param.param_type_name == "argument":
        shown = f"`{_argument(param)}`"
    else:
        takes = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
        shown = ", ".join(f"`{one}{takes}`" for one in (*param.opts, *param.secondary_opts))
    default = param.default
    known = isinstance(default, str | int | float) and not isinstance(default, bool)
    cell = "required" if param.required else f"`{default}`" if known else ""
    return f"| {shown} | {param.help} | {cell} |\n"


def _with_options(name: str, model: type[Any]) -> Callable[[], str]:
    """A page written by hand whose option table is that of a model."""
    return lambda: with_table((DOCS / name).read_text(encoding="utf-8"), model)


PAGES: dict[str, Callable[[], str]] = {
    "metrics.md": metrics_page,
    "measures.md": measures_page,
    "records.md": records_page,
    "cli.md": cli_page,
    "configuration.md": _with_options("configuration.md", Settings),
    "sources/circleci.md": _with_options("sources/circleci.md", CircleCIConfig),
}
