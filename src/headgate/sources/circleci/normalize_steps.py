"""From the single build of API v1.1 to observations of steps. Pure.

An action is one step on one machine. The address of its output is signed, so a secret: it is handed to the caller
beside the observation and never becomes a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from headgate.core.details import EndedJob
from headgate.core.ids import leaf_key
from headgate.core.merge import Observation, ProjectRef
from headgate.core.times import parse_ms
from headgate.sources.circleci.normalize import Context, observe
from headgate.sources.circleci.reading import Json, integer, known, objects, text

__all__ = ["Step", "output_text", "steps"]


@dataclass(frozen=True, slots=True)
class Step:
    """One action. `output_url`: a secret; None where there is no output. `failed`: it ended badly."""

    observation: Observation
    failed: bool
    output_url: str | None

    def __repr__(self) -> str:
        """Without the address."""
        return f"Step({self.observation.key}, failed={self.failed})"


def steps(given: Json, job: EndedJob, owner: ProjectRef, ctx: Context) -> Iterator[Step]:
    """The actions of a build in their order, one for each step and machine."""
    for index, step in enumerate(objects(given.get("steps"))):
        for action in objects(step.get("actions")):
            yield _step(index, step, action, job=job, owner=owner, ctx=ctx)


def _step(index: int, step: Json, action: Json, *, job: EndedJob, owner: ProjectRef, ctx: Context) -> Step:
    node = integer(action.get("index")) or 0
    exit_code = integer(action.get("exit_code"))
    status = _status(action)
    number = integer(action.get("step"))
    fields = known(
        job_id=job.job_id,
        index=index,
        node=node,
        name=text(action.get("name")) or text(step.get("name")),
        type=text(action.get("type")),
        status=status,
        started_at=parse_ms(action.get("start_time")),
        stopped_at=parse_ms(action.get("end_time")),
        exit_code=exit_code,
    )
    # CircleCI's own number of the step stays when others come before it.
    key = leaf_key("step", job.job_id, node, index if number is None else f"#{number}")
    failed = status in ("failed", "timedout", "infrastructure_fail") or exit_code not in (None, 0)
    url = text(action.get("output_url")) if action.get("has_output") is not False else None
    return Step(observe(ctx, "step", key, owner, fields, source="v1.1", terminal=True), failed, url)


def _status(action: Json) -> str | None:
    """CircleCI's word; the flags beside it say more than `failed`."""
    for flag, word in (("infrastructure_fail", "infrastructure_fail"), ("timedout", "timedout")):
        if action.get(flag) is True:
            return word
    return text(action.get("status"))


def output_text(body: bytes) -> str:
    """The text of a step's output: a JSON list of messages, or text as it is."""
    try:
        parts = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    messages = [part.get("message") for part in objects(parts)]
    return "".join(message for message in messages if isinstance(message, str))
