"""What commands about rules ask the daemon beyond `web.operations`: the rules in force, and results of tests.

Invariant: the texts are those that the rules in force were made of, whatever has become of their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import FastAPI, Query

from headgate.web.answers_facts import OutcomeAnswer, RuleText
from headgate.web.documented import documented
from headgate.web.operations import Json, Operations

__all__ = ["MOST_OUTCOMES", "RuleOperations", "add_rule_pages"]

MOST_OUTCOMES = 10_000  # of one answer: about 4 MB
_Time = Annotated[int, Query(ge=0, le=(1 << 63) - 1)]  # what the store can compare


class RuleOperations(Operations, Protocol):
    """Operations with those that `headgate rules` needs."""

    async def rule_texts(self) -> list[Json]:
        """`[{"file", "text"}]` of the rules in force, in their order; empty where no daemon runs."""
        ...

    async def test_outcomes(
        self, project: str, since_ms: int, until_ms: int, after: tuple[str, str] | None, limit: int, *, failing: bool
    ) -> list[Json]:
        """A page of `ReadStore.test_outcomes` of one project; fields of TestOutcome. `after`: test id and revision."""
        ...


def add_rule_pages(app: FastAPI, operations: RuleOperations) -> None:
    """Answer `/api/v1/rules` and `/api/v1/outcomes`."""

    @app.get("/api/v1/rules", **documented(list[RuleText]))
    async def rule_texts() -> Sequence[Json]:
        """The rule files as the daemon read them last without a mistake."""
        return await operations.rule_texts()

    @app.get("/api/v1/outcomes", **documented(list[OutcomeAnswer]))
    async def outcomes(  # noqa: PLR0917  # query parameters have names
        project: str,
        since_ms: _Time,
        until_ms: _Time,
        after_test: str = "",
        after_revision: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST_OUTCOMES)] = 1000,
        failing: bool = False,  # query parameters have names
    ) -> Sequence[Json]:
        """What came of the tests of a project on each commit, by test and commit; `failing`: of those that failed."""
        after = (after_test, after_revision) if after_test else None
        return await operations.test_outcomes(project, since_ms, until_ms, after, limit, failing=failing)
