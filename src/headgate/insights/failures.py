"""Why jobs fail, grouped: by step and by what the failure texts have in common. Pure.

Invariant: a failed job is in exactly one group, and the group follows from that job alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from headgate.core.detailrows import FailedJob
from headgate.core.runrows import JobRow
from headgate.insights.dimensions import test_name
from headgate.insights.fingerprints import fingerprint, normalize, telling_line

__all__ = ["Cause", "Group", "Known", "cause_of", "group_failures"]

Kind = Literal["test", "step", "timeout", "infrastructure", "unknown"]
# What a group goes by, the most telling first.
Known = Literal["message", "test", "output", "note", "step", "nothing"]
_LAST_RUNS = 5
_KEPT_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a job failed, as far as is known. `id`: the same for the same cause in a project.

    `text`: what it has in common with others; `sample`: the words themselves. `known`: where they are from.
    """

    id: str
    kind: Kind
    step: str
    text: str
    sample: str
    known: Known


@dataclass(slots=True)
class Group:
    """Failed jobs with one cause in one project. `seen`: jobs, newest first; `tests`: name -> (id, how often)."""

    project: str
    cause: Cause
    seen: list[JobRow] = field(default_factory=list)
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    branches: Counter[str] = field(default_factory=Counter)
    tests: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, failed: FailedJob) -> None:
        """One more job of that cause."""
        self.seen.append(failed.row)
        self.jobs[failed.row.workflow, failed.row.job] += 1
        self.branches[failed.row.ref] += 1
        if self.cause.kind == "test":
            self.tests.update((test.test_id, test_name(test.class_name, test.name)) for test in failed.tests)


def cause_of(failed: FailedJob) -> Cause:
    """Why a job failed.

    Its own words win: the message of its first failed test, else the end of the failed step's output, else what
    CircleCI noted. Without any the test, or the step and its exit code, is all that is known.
    """
    step = failed.steps[0] if failed.steps else None
    name = step.step if step else ""
    kind = _kind(failed)
    sample, known = _words(failed)
    text = normalize(telling_line(sample, last=known == "output")) if known != "test" else sample
    if not text and step is not None:
        code = "" if step.exit_code is None else f" with exit code {step.exit_code}"
        text, known = f"{step.step} ended as {step.status}{code}", "step"
    if not text:
        text, known = f"{failed.row.job or 'A job'} ended as {failed.row.status}", "nothing"
        name = ""
    found = fingerprint(failed.row.project, kind, name if known in ("output", "step") else "", text)
    return Cause(found, kind, name, text, sample[:_KEPT_SAMPLE], known)


def _kind(failed: FailedJob) -> Kind:
    if failed.row.status == "error":
        return "infrastructure"
    if failed.row.status == "timeout" or any(step.status == "timeout" for step in failed.steps):
        return "timeout"
    if failed.tests:
        return "test"
    return "step" if failed.steps else "unknown"


def _words(failed: FailedJob) -> tuple[str, Known]:
    """The failure text and where it is from."""
    message = next((test.message for test in failed.tests if test.message.strip()), "")
    tail = next((step.tail for step in failed.steps if step.tail.strip()), "")
    note = next((note for note in failed.notes if note.strip()), "")
    if failed.row.status == "error" and note:
        return note, "note"
    if message:
        return message, "message"
    if tail:
        return tail, "output"
    if failed.tests:
        return test_name(failed.tests[0].class_name, failed.tests[0].name), "test"
    return (note, "note") if note else ("", "nothing")


def group_failures(failed: Iterable[FailedJob]) -> dict[tuple[str, str], Group]:
    """Groups by project and cause; `failed`: newest first."""
    found: dict[tuple[str, str], Group] = {}
    for one in failed:
        cause = cause_of(one)
        found.setdefault((one.row.project, cause.id), Group(one.row.project, cause)).add(one)
    return found
