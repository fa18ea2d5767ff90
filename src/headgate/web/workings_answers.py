"""What the routes of `web.workings_routes` answer, for the OpenAPI document; as `web.answers`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from headgate.web.answers import Answer, AuditTally, Count, Time
from headgate.web.workings import ProvenWindow

__all__ = ["CompletenessAnswer", "DataAnswer", "RoutingAnswer"]


class RouteAnswer(Answer):
    """A route. `depth`: how many others are around it; `to`: null where those around it say."""

    depth: Count
    match: list[str]
    to: list[str] | None
    continue_: Annotated[bool, Field(alias="continue")]
    mute: list[str]


class MuteTimeAnswer(Answer):
    """When it is quiet. `holds`: it is now."""

    name: str
    holds: bool
    time_zone: str
    weekdays: list[str]
    times: list[str]
    holidays: list[str]


class DigestAnswer(Answer):
    """A report and who gets it."""

    name: str
    to: list[str]


class RoutingAnswer(Answer):
    """Who is told of alerts. `routes`: from top to bottom; `default`: of what none takes; `mute`: around all."""

    default: list[str]
    mute: list[str]
    routes: list[RouteAnswer]
    mute_times: list[MuteTimeAnswer]
    digests: list[DigestAnswer]


class ProvenHour(AuditTally):
    """What audits found of an hour, or of a day."""

    state: Literal["nothing", "complete", "repaired", "missing"]


class ProvenProject(AuditTally):
    """A project of a source, with the figures of the whole window.

    `cells`: one for each hour or day; null where it is not audited yet.
    """

    source: str
    project: str
    proven_until: Time | None
    cells: list[ProvenHour | None]


class CompletenessAnswer(Answer):
    """What is proven. `hours`: begins of the hours, or of the UTC days, oldest first; `step`: how long each is."""

    window: ProvenWindow
    step: Literal["1h", "1d"]
    hours: list[Time]
    projects: list[ProvenProject]


class KeptStore(Answer):
    """The store as a whole. `max_bytes`: null where only the disk ends it."""

    url: str
    bytes: Count
    max_bytes: Count | None
    level: Literal["ok", "warn", "trim", "pause", "refuse"]
    schema_: Annotated[int, Field(alias="schema")]


class KeptPart(Answer):
    """A part of it. `kept`: a length as the configuration has it, empty for ever."""

    part: str
    bytes: Count
    kept: str
    oldest: Time | None
    newest: Time | None


class KeptSource(Answer):
    """What a source has brought; times of runs, the oldest as the begin of its day."""

    source: str
    projects: Count
    oldest: Time | None
    newest: Time | None
    last_complete_walk: Time | None
    last_insights: Time | None


class KeptFiles(Answer):
    """A scheduled export or report. `last_at`: up to when all is written; `files`, `bytes`: kept in `folder` now.

    `next_at`: when it is made, or tried again; `keep`: how many stay, or for how long.
    """

    kind: Literal["export", "report"]
    name: str
    state: Literal["ok", "waiting", "failing"]
    last_at: Time | None
    next_at: Time | None
    problem: str | None
    folder: str
    files: Count
    bytes: Count
    keep: str


class FoundPlugin(Answer):
    """A plugin that is there. `used`: names under which it is configured."""

    kind: Literal["source", "sink", "notifier", "detector"]
    name: str
    used: list[str]


class DataAnswer(Answer):
    """What is kept, and by what. `measured_at`: null, without parts and sources, while a large store is measured."""

    store: KeptStore
    measured_at: Time | None
    parts: list[KeptPart]
    sources: list[KeptSource]
    files: list[KeptFiles]
    versions: dict[str, str]
    plugins: list[FoundPlugin]
    broken_plugins: list[dict[str, Any]]
