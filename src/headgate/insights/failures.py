"""Why jobs fail, grouped: by step and by what the failure texts have in common. Pure.

Invariant: a failed job is in exactly one group, and the group follows from that job alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from headgate.core.detailrows import FailedJob
from headgate.insights.dimensions import test_name
from headgate.insights.fingerprints import fingerprint, normalize, telling_line

__all__ = ["Cause", "Group", "Known", "cause_of", "group_failures"]

Kind = Literal["test", "step", "timeout", "infrastructure", "unknown"]
# What a group goes by, the most telling first.
Known = Literal["message", "test", "output", "note", "step", "nothing"]
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
    """Failed jobs with one cause in one project, which is told in the words of the newest. `seen`: newest first."""

    project: str
    cause: Cause
    seen: list[FailedJob] = field(default_factory=list)


@dataclass(slots=True)
class _Reason:
    """What tells a cause from others (`kind`, `step`, `text`), and what is told of it."""

    kind: Kind
    step: str
    text: str
    sample: str
    known: Known

    @property
    def place(self) -> tuple[str, str, str]:
        """Equal for equal causes: a step matters where its words or end are all that is known."""
        return self.kind, self.step if self.known in ("output", "step") else "", self.text

    def cause(self, project: str) -> Cause:
        """Of a job of that project."""
        found = fingerprint(project, *self.place)
        return Cause(found, self.kind, self.step, self.text, self.sample[:_KEPT_SAMPLE], self.known)


def cause_of(failed: FailedJob) -> Cause:
    """Why a job failed.

    Its own words win: the message of its first failed test, else the end of the failed step's output, else what
    CircleCI noted. Without any the test, or the step and its exit code, is all that is known.
    """
    return _reason(failed).cause(failed.row.project)


def _reason(failed: FailedJob) -> _Reason:
    step = failed.steps[0] if failed.steps else None
    name = step.step if step else ""
    sample, known = _words(failed)
    text = normalize(telling_line(sample, last=known == "output")) if known != "test" else sample
    if not text and step is not None:
        code = "" if step.exit_code is None else f" with exit code {step.exit_code}"
        text, known = f"{step.step} ended as {step.status}{code}", "step"
    if not text:
        text, known = f"{failed.row.job or 'A job'} ended as {failed.row.status}", "nothing"
        name = ""
    return _Reason(_kind(failed), name, text, sample, known)


def _kind(failed: FailedJob) -> Kind:
    if failed.row.status == "error":
        return "infrastructure"
    if failed.row.status == "timeout" or "timeout" in [step.status for step in failed.steps]:
        return "timeout"
    if failed.tests:
        return "test"
    return "step" if failed.steps else "unknown"


def _words(failed: FailedJob) -> tuple[str, Known]:
    """The failure text and where it is from."""
    note = _first(failed.notes) if failed.notes else ""
    if note and failed.row.status == "error":
        return note, "note"
    if failed.tests and (message := _first([test.message for test in failed.tests])):
        return message, "message"
    if failed.steps and (tail := _first([step.tail for step in failed.steps])):
        return tail, "output"
    if failed.tests:
        return test_name(failed.tests[0].class_name, failed.tests[0].name), "test"
    return (note, "note") if note else ("", "nothing")


def _first(texts: Iterable[str]) -> str:
    """The first text that is not blank."""
    for text in texts:
        if text and not text.isspace():
            return text
    return ""


def group_failures(failed: Iterable[FailedJob]) -> dict[tuple[str, str], Group]:
    """Groups by project and cause; `failed`: newest first."""
    found: dict[tuple[str, ...], Group] = {}
    for one in failed:
        reason, project = _reason(one), one.row.project
        place = (project, *reason.place)
        group = found.get(place)
        if group is None:
            group = found[place] = Group(project, reason.cause(project))
        group.seen.append(one)
    return {(group.project, group.cause.id): group for group in found.values()}
