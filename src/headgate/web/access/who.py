"""Who asks: a name, a role, and how we know. Pure.

Invariant: a request that no guard has looked at is nobody's, and nobody may nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from headgate.web.asgi import Asking, Scope

__all__ = ["NOBODY", "ROLES", "Role", "Who", "admit", "asker", "who"]

Role = Literal["viewer", "operator", "admin"]
# Each may what those before it may: read; acknowledge, silence, replay, dead letters; everything.
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "admin")
_KEY = "headgate.who"


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who is known. `via`: how (`loopback`, `token`, ...), empty for nobody; `csrf`: in all their forms."""

    name: str
    role: Role
    via: str
    csrf: str = field(repr=False)

    def may(self, role: Role) -> bool:
        """Whether they have this role, or one that includes it."""
        return self.via != "" and ROLES.index(self.role) >= ROLES.index(role)


NOBODY: Final = Who("", "viewer", "", "")


def asker(scope: Scope) -> Who:
    """Who asks, as the guard found."""
    found = scope.get(_KEY)
    return found if isinstance(found, Who) else NOBODY


def who(request: Asking) -> Who:
    """Who asks, as the guard found."""
    return asker(request.scope)


def admit(scope: Scope, known: Who) -> None:
    """Say in the scope of a request who asks; the guard alone calls this."""
    scope[_KEY] = known
