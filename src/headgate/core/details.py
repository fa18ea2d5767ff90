"""What a source can tell of a job once it has ended, beyond what its record says: the capability, and its questions.

Invariant: a question is named by a word, so that what is still to be asked can be kept across restarts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from headgate.core.merge import Observation

__all__ = ["DetailSource", "EndedJob"]


class EndedJob(msgspec.Struct, frozen=True):
    """An ended job as its record tells it. `status`: our word. Times in milliseconds, None where unknown.

    `number`: None for a job that never ran, such as an approval. Texts are empty where unknown.
    """

    project_slug: str
    job_id: str
    number: int | None
    name: str
    status: str
    ref_name: str
    revision: str
    workflow_id: str
    started_ms: int | None
    stopped_ms: int | None
    url: str


@runtime_checkable
class DetailSource(Protocol):
    """A source that can tell more about a job once it has ended: test results, steps, artifacts, deployments."""

    def follows_jobs(self) -> bool:
        """Whether the configuration asks for anything below at all."""
        ...

    def calls_per_job(self) -> Mapping[str, float]:
        """Calls for each job that ran, on average, by kind of detail; kinds that are off are absent. Pure."""
        ...

    def wants(self, job: EndedJob) -> Sequence[str]:
        """What to ask about a job, one question each, in the order of asking; empty: nothing. Pure."""
        ...

    def deployments(self, job: EndedJob) -> Sequence[Observation]:
        """Deployments that the job was, by the configured rules. Pure."""
        ...

    def details(self, job: EndedJob, want: str) -> AsyncIterator[Sequence[Observation]]:
        """The answer to one question of `wants`, in parts of bounded size; telling a part twice is harmless.

        Waits behind everything else for the source's budget. Raises as `Source` does; what cannot be had beside the
        question itself is counted, and the rest is told.
        """
        ...
