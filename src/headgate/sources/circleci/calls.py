"""One call to CircleCI as plain data: what is sent, where to, and whether it may be sent again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from headgate.core.errors import NotFound

__all__ = ["Call", "Params", "Trouble", "escape_slug", "path_of"]

# What is asked for; several values of one name are sent as that name several times.
Params = Mapping[str, str | tuple[str, ...]]

_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an attempt failed. `retry_after`: seconds asked for; `held`: the budget already waits for them.

    `untouched`: the far side has not begun with the call.
    """

    why: str
    retry_after: float | None = None
    held: bool = False
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call, to be sent once or several times. `route`: template of `path`; `body`: JSON of a change.

    `patient`: everything live goes first. `apart`: the route has a limit of its own, which is not the token's.
    `attempts`: the most, the first included; None: as the options say.
    """

    method: str
    route: str
    path: str
    params: Params | None = None
    body: bytes | None = None
    patient: bool = False
    apart: bool = False
    attempts: int | None = None

    def may_repeat(self, trouble: Trouble) -> bool:
        """Whether sending it again does no harm; a POST that may have been carried out would be carried out twice."""
        if self.apart and trouble.held:
            return False
        return self.method != "POST" or trouble.untouched


def escape_slug(slug: str) -> str:
    """A slug as part of a path: slashes stay, everything else unsafe is escaped.

    Raises NotFound for a segment `.` or `..`: clients and proxies resolve those, also escaped, and would ask elsewhere.
    """
    segments = slug.split("/")
    if not _DOTS.isdisjoint(segments):
        raise NotFound(f"{slug!r} is no slug: a segment of dots would lead to another path")
    return "/".join(quote(segment, safe="") for segment in segments)


def _escape(name: str, value: str) -> str:
    """A part of a route; only slugs have slashes of their own."""
    return escape_slug(value) if name in ("slug", "project") else quote(value, safe="")


def path_of(route: str, parts: Mapping[str, str]) -> str:
    """The path of a route with its parts, escaped."""
    return route.format(**{name: _escape(name, value) for name, value in parts.items()})
