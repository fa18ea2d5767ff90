"""Wiring of webhooks: looks at the projects of sources, does what `core.wiring` plans, and reads back what came of it.

Invariant: a change is `done` only once the project was read again and is as planned. Trouble with one project or source
leaves the others alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from headgate.core.errors import SourceError, SourceRefused, first_of
from headgate.core.ports import CheckResult, Scope, Source, WebhookAdmin, WebhookSource
from headgate.core.slug import org_slug
from headgate.core.wiring import CHANGES, Action, Survey, plan, removal, summary

__all__ = ["Done", "Planner", "Wired", "carry_out", "check_wiring", "look", "planner", "remover", "wired"]

_AT_ONCE = 4
# Reasons that hold for one organisation or project; any other stops the whole source.
_NO_RIGHT = "no_access"
_ONE_PROJECT = ("no_access", "project_not_found", "rejected")

Planner = Callable[[WebhookAdmin, Sequence[Survey]], list[Action]]


@dataclass(frozen=True, slots=True)
class Wired:
    """A source that can manage its webhooks."""

    source: Source
    admin: WebhookAdmin


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action. `problem` is empty where it is done."""

    action: Action
    problem: str = ""


def wired(sources: Iterable[Source]) -> list[Wired]:
    """Those sources that can manage webhooks as they are configured."""
    return [
        Wired(source, source.webhook_admin)
        for source in sources
        if isinstance(source, WebhookSource) and source.webhook_admin is not None
    ]


def planner(*, rotate: bool = False) -> Planner:
    """Plans towards the wanted webhook."""
    return lambda admin, found: plan(admin.wanted, found, limit=admin.limit, rotate=rotate)


def remover(admin: WebhookAdmin, found: Sequence[Survey]) -> list[Action]:
    """Plans towards no webhook of ours."""
    return removal(admin.wanted, found)


async def look(wired: Wired, glob: str = "*") -> list[Survey]:
    """The webhooks of every project of a source whose slug fits, sorted by slug.

    An organisation that refuses us is not asked again for its other projects. Raises SourceError where nothing can be
    asked at all.
    """
    scopes = [scope for scope in await wired.source.scopes() if fnmatchcase(scope.slug, glob)]
    gate, blind = asyncio.Semaphore(_AT_ONCE), set[str]()

    async def one(scope: Scope) -> Survey:
        async with gate:
            if org_slug(scope.slug) in blind:
                return Survey(scope.slug, scope.key, refused="no_right")
            found = await _survey(wired.admin, scope)
            if found.refused == "no_right":
                blind.add(org_slug(scope.slug))
            return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(scope)) for scope in scopes]
    except BaseExceptionGroup as errors:
        raise first_of(errors, SourceError) or errors from None
    return [task.result() for task in tasks]


async def carry_out(wired: Wired, actions: Sequence[Action], again: Planner) -> list[Done]:
    """Do what changes something, project by project; `again` plans over what is read back."""
    done: list[Done] = []
    for key in dict.fromkeys(action.key for action in actions if action.kind in CHANGES):
        changes = [action for action in actions if action.key == key and action.kind in CHANGES]
        done += await _one_project(wired.admin, changes, again)
    return done


async def check_wiring(name: str, wired: Wired) -> Sequence[CheckResult]:
    """One line of `headgate check`: what is not as wanted, by kind."""
    label = f"source {name} webhook wiring"
    found = await look(wired)
    actions = plan(wired.admin.wanted, found, limit=wired.admin.limit)
    drift = [action for action in actions if action.kind != "no_right"]
    if words := summary(drift):
        fix = f"{words} of {len(found)} projects; see `headgate webhooks plan`"
        return [CheckResult(label, ok=False, reason="webhooks_drift", fix=fix)]
    blind = [action.reason for action in actions if action.kind == "no_right"]
    if blind:
        return [CheckResult(label, ok=True, reason="webhooks_unseen", fix="; ".join(blind))]
    return [CheckResult(label, ok=True, reason="ok")]


async def _survey(admin: WebhookAdmin, scope: Scope) -> Survey:
    try:
        return Survey(scope.slug, scope.key, await admin.webhooks(scope.key))
    except SourceRefused as error:
        if error.reason not in _ONE_PROJECT:
            raise
        blind = error.reason == _NO_RIGHT
        return Survey(scope.slug, scope.key, refused="no_right" if blind else "failed", detail=str(error))
    except SourceError as error:
        return Survey(scope.slug, scope.key, refused="failed", detail=str(error))


async def _one_project(admin: WebhookAdmin, changes: Sequence[Action], again: Planner) -> list[Done]:
    """Do the changes of one project, then read it again once; the first failure ends this project."""
    done: list[Done] = []
    for action in sorted(changes, key=lambda action: CHANGES.index(action.kind)):
        try:
            await _do(admin, action)
        except SourceError as error:
            return [*done, Done(action, str(error))]
        done.append(Done(action))
    project, key = changes[0].project, changes[0].key
    found = await _survey(admin, Scope(key, project))
    left = [action for action in again(admin, [found]) if action.kind in (*CHANGES, "full", "failed", "no_right")]
    if not left:
        return done
    problem = "read back, it is not as planned: " + "; ".join(action.reason for action in left)
    return [replace(one, problem=problem) for one in done]


async def _do(admin: WebhookAdmin, action: Action) -> None:
    if action.kind == "create" or action.webhook is None:
        await admin.create(action.key)
    elif action.kind == "update":
        await admin.update(action.webhook.id)
    else:
        await admin.delete(action.webhook.id)
