"""From a deployment that somebody told of to what enters the store. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.core.facts import Value
from headgate.core.ids import leaf_key
from headgate.core.merge import Observation, ProjectRef
from headgate.core.slug import org_slug
from headgate.core.times import parse_ms

__all__ = ["told_deployment", "told_key"]

_AS_TOLD = ("environment", "status", "revision", "version", "workflow_id", "job_id", "url")


def told_key(told: Mapping[str, Any]) -> str:
    """The key of a told deployment: the caller's id in its project, however often it is told."""
    return leaf_key("deployment", "call", told["project"], told["id"])


def told_deployment(told: Mapping[str, Any], host: str, *, known: bool, now_ms: int) -> Observation:
    """The observation. `known`: it was told before, so that the end it was given then stays where none is told now."""
    project: str = told["project"]
    fields: dict[str, Value] = {name: told[name] for name in _AS_TOLD if name in told}
    fields["name"] = told.get("name") or project.rpartition("/")[2]
    fields["origin"] = "call"
    for name in ("started_at", "stopped_at"):
        at = parse_ms(told.get(name))
        if at is not None:
            fields[name] = at
    if "stopped_at" not in fields and not known:
        fields["stopped_at"] = now_ms
    owner = ProjectRef(host, project, org_slug(project))
    return Observation("deployment", told_key(told), owner, "call", now_ms, terminal=True, fields=fields)
