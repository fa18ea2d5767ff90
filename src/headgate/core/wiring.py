"""What has to be done so that every project sends its webhooks to us: wanted, found, limit -> actions. Pure.

Invariant: only webhooks of ours are changed. Ours is what has the wanted URL; where a project has none of these, the
first that has the wanted name, which is corrected but never deleted. Everything else is foreign and never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.slug import org_slug
from headgate.core.webhooks import WantedWebhook, Webhook

__all__ = ["CHANGES", "Action", "Drift", "Kind", "Survey", "plan", "removal", "shown_url", "summary", "wrong"]

Kind = Literal["create", "update", "delete", "keep", "foreign", "full", "no_right", "failed"]
Drift = Literal[
    "missing", "wrong_url", "wrong_name", "wrong_events", "unsigned", "tls_off", "tls_on", "duplicate", "rotate"
]
# In the order in which they are done: what is freed first can be taken.
CHANGES: tuple[Kind, ...] = ("delete", "update", "create")
_FINE: tuple[Kind, ...] = ("keep", "foreign")
_WORDS: dict[Drift, str] = {
    "missing": "no webhook of ours",
    "wrong_url": "goes to another URL",
    "wrong_name": "has another name",
    "wrong_events": "has other events",
    "unsigned": "has no signing secret, so its deliveries are refused",
    "tls_off": "does not verify our certificate",
    "tls_on": "verifies our certificate, which the configuration does not want",
    "duplicate": "sends everything to us a second time",
    "rotate": "gets the first secret again",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """The webhooks of one project, or why they are not known. `key`: of its scope; `detail`: of a failure."""

    project: str
    key: str
    webhooks: Sequence[Webhook] = ()
    refused: Literal["no_right", "failed"] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do or to know. `project`: its slug; for `no_right` that of the organisation. `reason`: for people.

    `webhook`: the one it is about, as found; None for those that are about none.
    """

    kind: Kind
    project: str
    key: str
    reason: str
    drift: tuple[Drift, ...] = ()
    webhook: Webhook | None = None


def plan(wanted: WantedWebhook, found: Iterable[Survey], *, limit: int, rotate: bool = False) -> list[Action]:
    """What to do about each project, in the order given; refused rights once per organisation, at the end.

    `rotate`: webhooks that are as wanted are updated too, so that they get the first secret.
    """
    return _over(found, lambda one: _project(wanted, one, limit, rotate))


def removal(wanted: WantedWebhook, found: Iterable[Survey]) -> list[Action]:
    """What to do so that no project sends us anything: what has our URL is deleted, all others stay."""
    return _over(found, lambda one: _removal(wanted, one))


def wrong(actions: Iterable[Action]) -> bool:
    """Whether anything is not as wanted, or not known to be."""
    return any(action.kind not in _FINE for action in actions)


def summary(actions: Iterable[Action]) -> str:
    """The drift in a few words, such as `2 missing, 1 unsigned`; empty where there is none."""
    counts: Counter[str] = Counter()
    for action in actions:
        if action.kind not in _FINE:
            counts.update(action.drift or (action.kind,))
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))


def shown_url(url: str) -> str:
    """A URL of somebody else without what may be a secret: its path and query are left out."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "…"
    authority, slash, _ = rest.partition("/")
    host = authority.partition("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}{'/…' if slash else ''}"


def _over(found: Iterable[Survey], decide: Callable[[Survey], Iterable[Action]]) -> list[Action]:
    actions: list[Action] = []
    blind: Counter[str] = Counter()
    for one in found:
        if one.refused == "no_right":
            blind[org_slug(one.project)] += 1
        elif one.refused is not None:
            actions.append(Action("failed", one.project, one.key, one.detail))
        else:
            actions += decide(one)
    return actions + _blind(blind)


def _removal(wanted: WantedWebhook, one: Survey) -> Iterator[Action]:
    mine = [it for it in one.webhooks if it.url == wanted.url]
    for it in mine:
        yield Action("delete", one.project, one.key, "has our URL", webhook=it)
    yield from _foreign(one, mine)


def _project(wanted: WantedWebhook, one: Survey, limit: int, rotate: bool) -> Iterator[Action]:
    mine = _ours(wanted, one.webhooks)
    if mine:
        best, *others = sorted(mine, key=lambda it: (len(_drift(wanted, it)), it.id))
        drift = _drift(wanted, best) or (("rotate",) if rotate else ())
        yield Action("update" if drift else "keep", one.project, one.key, _say(drift, best), drift, best)
        for other in others:
            yield Action("delete", one.project, one.key, _say(("duplicate",), other), ("duplicate",), other)
    elif len(one.webhooks) >= limit:
        yield Action("full", one.project, one.key, _full(one.webhooks, limit), ("missing",))
    else:
        yield Action("create", one.project, one.key, _WORDS["missing"], ("missing",))
    yield from _foreign(one, mine)


def _ours(wanted: WantedWebhook, found: Sequence[Webhook]) -> list[Webhook]:
    by_url = [it for it in found if it.url == wanted.url]
    by_name = sorted((it for it in found if it.name == wanted.name), key=lambda it: it.id)
    return by_url or by_name[:1]


def _drift(wanted: WantedWebhook, found: Webhook) -> tuple[Drift, ...]:
    table: tuple[tuple[Drift, bool], ...] = (
        ("wrong_url", found.url != wanted.url),
        ("wrong_name", found.name != wanted.name),
        ("wrong_events", found.events != wanted.events),
        ("unsigned", not found.signed),
        ("tls_off", wanted.verify_tls and not found.verify_tls),
        ("tls_on", found.verify_tls and not wanted.verify_tls),
    )
    return tuple(word for word, is_so in table if is_so)


def _say(drift: Sequence[Drift], found: Webhook) -> str:
    details = {
        "wrong_url": f" ({shown_url(found.url)})",
        "wrong_name": f" ({found.name})",
        "wrong_events": f" ({', '.join(sorted(found.events)) or 'none'})",
    }
    return "; ".join(_WORDS[word] + details.get(word, "") for word in drift) or "as wanted"


def _foreign(one: Survey, mine: Sequence[Webhook]) -> Iterator[Action]:
    for it in one.webhooks:
        if it not in mine:
            yield Action("foreign", one.project, one.key, "not ours, left alone", webhook=it)


def _full(found: Sequence[Webhook], limit: int) -> str:
    names = ", ".join(f"{it.name} ({shown_url(it.url)})" for it in found)
    return f"{limit} webhooks are the limit of a project, and all are others': {names}; remove one, then apply again"


def _blind(projects: Counter[str]) -> list[Action]:
    return [
        Action(
            "no_right",
            org,
            "",
            f"{count} project{'s' if count > 1 else ''} not looked at: webhooks need the token of an administrator of"
            f" {org}",
        )
        for org, count in sorted(projects.items())
    ]
