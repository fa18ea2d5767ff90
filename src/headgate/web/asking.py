"""What questions to the insights part of the API have in common: windows, filters, steps and pages of lists.

Invariant: the same words mean the same in every question, and as in the addresses of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from headgate.core.tally import DEFAULT_BRANCH
from headgate.insights.views.known import must_be_known
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import StepName, Window, read_step, read_window

__all__ = ["Cursor", "Filtered", "Limit", "Listed", "Name", "Plotted", "Text", "Windowed", "known_values"]

Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(max_length=1000, description="Slug of the project, such as gh/acme/web.")]
Limit = Annotated[int, Field(ge=1, le=500, description="Rows at most.")]
Cursor = Annotated[str | None, Field(max_length=2000, description="`next` of the page before.")]


class Windowed(BaseModel):
    """The window of time that a question is about."""

    model_config = ConfigDict(extra="forbid")

    since: Text | None = Field(default=None, description="Begin: 7d (ago), a date or RFC 3339.")
    until: Text | None = Field(default=None, description="End, exclusive; else now.")
    window: Text | None = Field(default=None, description="Length before `until`, where `since` is not given: 7d.")

    def window_at(self, now_ms: int) -> Window:
        """The window that is meant. Raises Refused."""
        return read_window(self.since, self.until, self.window, now_ms=now_ms)


class Filtered(Windowed):
    """A question about some of the runs."""

    branch: Text = Field(default="", description="Only this branch or tag.")
    branch_class: Literal["", "@default", "@other"] = Field(
        default="", description="Only the default branch of each project, or only other refs."
    )
    trigger: Text = Field(default="", description="Only runs that this started, CircleCI's word.")
    org: Text = Field(default="", description="Only projects of this organisation, such as gh/acme.")
    team: Text = Field(default="", description="Only what this team owns.")

    @property
    def filters(self) -> Filters:
        """As views take them; the branch `@default` is a class, as in matchers."""
        branch, its_class = self.branch, self.branch_class
        if branch == DEFAULT_BRANCH:
            branch, its_class = "", its_class or "@default"
        return Filters(branch, its_class, self.trigger, self.org, self.team)


class Plotted(Filtered):
    """A question whose answer has charts."""

    step: StepName | None = Field(default=None, description="Step of the charts; else one that fits the window.")

    def step_of(self, window: Window) -> StepName:
        """The step that is meant. Raises Refused."""
        return read_step(self.step, window)


class Listed(BaseModel):
    """A question whose answer is a list in pages."""

    cursor: Cursor = None
    limit: Limit = 50


def known_values(lens: Callable[[], Lens]) -> Any:
    """A dependency of routes: organisations, teams and triggers that are not there are refused before anything else."""

    async def known(request: Request) -> None:
        await must_be_known(lens(), request.query_params)

    return Depends(known)
