"""Pages that are written from the code. `make docs` rewrites them; the tests fail when one is out of date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headgate.core.facts import FIELDS
from headgate.core.metrics import METRICS
from headgate.core.record import KINDS
from headgate.core.status import _TABLE

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
        " record), `headgate.revision` and the names that changed.\n"
    ]
    for kind, fields in FIELDS.items():
        rows = [(f.attribute, f.type, f.doc) for f in fields if f.attribute] + _COMPUTED.get(kind, [])
        parts.append(f"\n## {kind}\n\n| attribute | type | meaning |\n|---|---|---|\n")
        parts.extend(f"| `{name}` | {_TYPES.get(kind_, kind_)} | {doc} |\n" for name, kind_, doc in sorted(rows))
    parts.append("\n## Status words\n\n| CircleCI | Headgate | final |\n|---|---|---|\n")
    parts.extend(
        f"| `{theirs}` | `{ours}` | {'yes' if final else 'no'} |\n" for theirs, (ours, final) in _TABLE.items()
    )
    parts.append("\nAny other word is `unknown`, and final once there is an end time.\n")
    return "".join(parts)


PAGES: dict[str, Callable[[], str]] = {"metrics.md": metrics_page, "records.md": records_page}
