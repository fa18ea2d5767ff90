"""`headgate check`: configuration, plugins, store, tokens and sinks, by real calls, each with what to do about it.

Invariant: every reason is a key of REASONS, which docs/check-reasons.md lists; a check never changes
anything, and tells no people unless it is asked to.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from headgate.app.check_notifiers import NotifierChecks
from headgate.app.compose import Plant
from headgate.app.engines import prepare_alerts
from headgate.app.sections import HttpSettings, is_loopback, split_address
from headgate.app.settings import Configuration
from headgate.app.wiring import check_wiring, wired
from headgate.core.errors import ConfigError, HeadgateError
from headgate.core.ports import CheckResult
from headgate.plugins import Registry

__all__ = ["REASONS", "check_all"]

REASONS: dict[str, str] = {
    "ok": "Nothing is wrong.",
    "config_invalid": "The configuration cannot be used; the text names file, line and key.",
    "plugin_broken": "A plugin that is installed cannot be loaded.",
    "rules_invalid": "A rule file cannot be used.",
    "store_unusable": "The store's directory cannot be made or written.",
    "plain_http": "Other machines reach the page without TLS, so tokens and passwords cross the network as they are.",
    "proxy_unknown": "People log in behind a proxy that is not trusted to say who asks: its clients count as one.",
    "no_source": "No source is configured, so nothing is collected.",
    "collects_nothing": "A source has nothing to poll and takes no webhooks.",
    "polls_nothing": "A source names no organisation and no project, so it learns by webhooks alone.",
    "webhooks_off": "A source has no webhook secret, so it takes no webhooks and learns by polling alone.",
    "unsigned_allowed": "A source takes webhooks without a signature, as configured.",
    "webhooks_drift": "Webhooks at CircleCI are not as webhook.url and its neighbours ask for.",
    "webhooks_unseen": "The token may not look at webhooks, so nobody knows whether they are as configured.",
    "token_expired": "CircleCI does not know the token: expired, revoked or mistyped.",
    "wrong_token_type": "A project token; the API needs a personal one.",
    "no_access": "The token is valid and may not see the organisation or project.",
    "project_not_found": "CircleCI does not know the organisation or project.",
    "auth": "A sink refuses the key.",
    "config": "The far side refuses path, product or options.",
    "not_ready": "The far side answers and is not ready, or limits us now.",
    "not_set_up": "The far side lacks what `headgate sinks setup` makes.",
    "wrong_product": "The address is not that of the expected product.",
    "tls": "The certificate is not trusted, or `ca_file` cannot be used.",
    "connected": "The address answers and its certificate is trusted; `check --send` tries whether it takes messages.",
    "unreachable": "The address does not answer.",
    "unwritable": "A file cannot be written.",
    "timeout": "No answer in time.",
    "failed": "Something nobody foresaw; the text has its words.",
}
_SECONDS = 30.0
_WIRING_SECONDS = 120.0  # one call a project


async def check_all(
    configuration: Configuration, registry: Registry, plant: Plant, notifying: NotifierChecks
) -> AsyncIterator[CheckResult]:
    """Every result as it is known; configuration and store first, then the far sides at the same time."""
    yield CheckResult("config", ok=True, reason="ok")
    for broken in registry.broken:
        yield CheckResult(f"plugin {broken.origin}", ok=False, reason="plugin_broken", fix=broken.problem)
    for result in _rules(configuration, plant):
        yield result
    yield _store(configuration.settings.store.path)
    for result in (*_listener(configuration.settings.http), *_sources(plant)):
        yield result
    asked = [
        _ask(f"{kind} {name}", part.check)
        for kind, parts in (("source", plant.sources), ("sink", plant.sinks))
        for name, part in parts.items()
    ]
    for one in wired(plant.sources.values()):
        check = partial(check_wiring, one.source.name, one)
        asked.append(_ask(f"source {one.source.name} webhook wiring", check, _WIRING_SECONDS))
    asked += [_ask(f"notifier {name}", partial(notifying.check, one)) for name, one in plant.notifiers.items()]
    for done in asyncio.as_completed(asked):
        for result in await done:
            yield result


def _rules(configuration: Configuration, plant: Plant) -> Sequence[CheckResult]:
    """One result per problem of the rule files and routes, with which `headgate run` would not start."""
    try:
        prepare_alerts(configuration, plant.notifiers)
    except ConfigError as exc:
        return [CheckResult("alerts", ok=False, reason="rules_invalid", fix=problem) for problem in exc.problems]
    return [CheckResult("alerts", ok=True, reason="ok")]


def _store(path: Path) -> CheckResult:
    """Whether the database, or the directory it will be made in, can be written."""
    here = path if path.exists() else path.parent
    while not here.exists() and here != here.parent:
        here = here.parent
    if os.access(here, os.W_OK):
        return CheckResult("store", ok=True, reason="ok")
    fix = f"let this user write to {here}, or point store.url elsewhere"
    return CheckResult("store", ok=False, reason="store_unusable", fix=fix)


def _listener(http: HttpSettings) -> Sequence[CheckResult]:
    """A warning where what people log in with can be read on its way; a proxy that is trusted speaks TLS for us."""
    host, _ = split_address(http.listen)
    if http.access.proxy is not None or http.tls is not None:
        return []
    if is_loopback(host):
        if not http.hosts or not (http.access.tokens or http.access.basic):
            return []
        fix = "set http.access.proxy.trusted to the address that the proxy of http.hosts asks from"
        return [CheckResult("http", ok=True, reason="proxy_unknown", fix=fix)]
    fix = f"set http.tls, or listen on 127.0.0.1 behind a proxy that speaks TLS, instead of {host}"
    return [CheckResult("http", ok=True, reason="plain_http", fix=fix)]


def _sources(plant: Plant) -> Sequence[CheckResult]:
    if not plant.sources:
        return [
            CheckResult("sources", ok=False, reason="no_source", fix="add one under sources:, or set CIRCLECI_TOKEN")
        ]
    return []


async def _ask(
    name: str, check: Callable[[], Awaitable[Sequence[CheckResult]]], seconds: float = _SECONDS
) -> Sequence[CheckResult]:
    try:
        async with asyncio.timeout(seconds):
            return [_known(result) for result in await check()]
    except TimeoutError:
        return [CheckResult(name, ok=False, reason="timeout", fix="check address, network and proxy")]
    except HeadgateError as exc:
        reason = str(getattr(exc, "reason", "failed"))
        return [_known(CheckResult(name, ok=False, reason=reason, fix=str(exc)))]


def _known(result: CheckResult) -> CheckResult:
    """A plugin of somebody else may use a word of its own; it is told in the text."""
    if result.reason in REASONS:
        return result
    return dataclasses.replace(result, reason="ok" if result.ok else "failed", fix=f"{result.reason}: {result.fix}")
