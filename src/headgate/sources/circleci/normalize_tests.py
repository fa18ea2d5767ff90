"""From test results, as API v2 lists them or as JUnit files hold them, to observations. Pure.

A test is told apart by suite, class, file, name and parameters, never by the job: `circleci.test.id` is the same in
every job, rerun and parallel machine. One result is told apart by its job, its test, and its place among equals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from headgate.core.details import EndedJob
from headgate.core.facts import Value
from headgate.core.ids import identity_of_test, leaf_key
from headgate.core.merge import Observation, ProjectRef
from headgate.sources.circleci.normalize import Context, observe
from headgate.sources.circleci.reading import Json, integer, known, text

__all__ = ["Case", "Tally", "case_of_api", "result_word", "run_ms", "split_parameters"]

MESSAGE_CHARS = 2000  # of a failure text that are kept
# CircleCI's words and those of reporters that it passes on, and ours.
_WORDS = {
    "success": "pass",
    "passed": "pass",
    "pass": "pass",
    "failure": "fail",
    "failed": "fail",
    "fail": "fail",
    "error": "fail",
    "skipped": "skip",
    "skip": "skip",
    "disabled": "skip",
    "pending": "skip",
}
# `test_x[a-1]` (pytest), `name(int)[1]` (JUnit 5): no blank before the bracket but inside parentheses, so that a
# sentence such as `returns [1]` stays whole.
_PARAMETERS = re.compile(
    r"(?P<name>[^\s\[\]()]+(?:\([^()\[\]]*(?:\[\][^()\[\]]*)*\))?)\[(?P<parameters>.+)\]", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Case:
    """One result. `name` is without its `parameters`. Texts are empty where unknown; `run_ms` and `node` None."""

    suite: str
    class_name: str
    file: str
    name: str
    parameters: str
    source: str
    result: str
    run_ms: int | None
    message: str
    node: int | None = None

    @property
    def test_id(self) -> str:
        """What the test is, in every job."""
        return identity_of_test(
            suite=self.suite,
            class_name=self.class_name,
            file=self.file,
            name=self.name,
            parameters=self.parameters,
        )


def split_parameters(name: str) -> tuple[str, str]:
    """Name and parameters of a test: `test_x[a-1]` -> (`test_x`, `a-1`). Together they are the name as it was."""
    match = _PARAMETERS.fullmatch(name)
    return (match["name"], match["parameters"]) if match else (name, "")


def run_ms(seconds: object) -> int | None:
    """Milliseconds of a run time in seconds, which may be text (`1,234.5` too); None for what is no duration."""
    if isinstance(seconds, str):
        try:
            seconds = float(seconds.strip().replace(",", ""))
        except ValueError:
            return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return round(seconds * 1000) if math.isfinite(seconds) and 0 <= seconds < 1e9 else None


def result_word(given: object) -> str:
    """Our word for a result; one that nobody foresaw is kept in lower case, none is `unknown`."""
    word = (text(given) or "unknown").lower()
    return _WORDS.get(word, word)


def case_of_api(given: Json) -> Case | None:
    """One item of a job's test list; None for an item without a name."""
    whole = text(given.get("name"))
    if whole is None:
        return None
    name, parameters = split_parameters(whole)
    return Case(
        suite=text(given.get("suite")) or "",
        class_name=text(given.get("classname")) or "",
        file=tidy_file(text(given.get("file")) or ""),
        name=name,
        parameters=parameters,
        source=text(given.get("source")) or "",
        result=result_word(given.get("result")),
        run_ms=run_ms(given.get("run_time")),
        message=text(given.get("message")) or "",
        node=integer(given.get("node_index")),
    )


def tidy_file(path: str) -> str:
    """A file's path without what only says where the checkout was."""
    return path.removeprefix("/home/circleci/project/").removeprefix("./")


class Tally:
    """The results of one job as they come: each gets its key, and they are counted.

    Holds 16 bytes and an integer for each test of the job, nothing of the results.
    """

    def __init__(self, job: EndedJob, owner: ProjectRef, redact: Callable[[str], str]) -> None:
        self.tests = 0
        self.failed = 0
        self.skipped = 0
        self._job, self._owner, self._redact = job, owner, redact
        self._seen: dict[bytes, int] = {}

    def result(self, case: Case, ctx: Context, source: str) -> Observation:
        """The observation of one result. Equal tests of a job are numbered in the order in which they come."""
        test_id = case.test_id
        packed = bytes.fromhex(test_id.replace("-", ""))
        ordinal = self._seen.get(packed, 0)
        self._seen[packed] = ordinal + 1
        self.tests += 1
        self.failed += case.result == "fail"
        self.skipped += case.result == "skip"
        fields = known(
            job_id=self._job.job_id,
            suite=case.suite,
            class_name=case.class_name,
            name=case.name,
            file=case.file,
            parameters=case.parameters,
            source=case.source,
            result=case.result,
            run_ms=case.run_ms,
            message=self._redact(case.message[: 2 * MESSAGE_CHARS])[:MESSAGE_CHARS] if case.message else None,
            node=case.node,
            stopped_at=self._job.stopped_ms,
            test_id=test_id,
        )
        key = leaf_key("test_result", self._job.job_id, test_id, ordinal)
        return observe(ctx, "test_result", key, self._owner, fields, source=source, terminal=True)

    def counts(self, ctx: Context, source: str) -> Observation:
        """What the job's own fact says of them."""
        fields: dict[str, Value] = {
            "tests": self.tests,
            "tests_failed": self.failed,
            "tests_skipped": self.skipped,
        }
        return observe(ctx, "job", self._job.job_id, self._owner, fields, source=source)
