"""Who asks, and what they may."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from headgate.web.access.who import NOBODY, ROLES, Who, admit, who


@pytest.mark.parametrize("role", ROLES)
def test_a_role_includes_those_before_it(role):
    """An admin may what an operator may, who may what a viewer may."""
    known = Who("anna", role, "token", "c")
    assert ROLES[: ROLES.index(role) + 1] == tuple(one for one in ROLES if known.may(one))


def test_a_request_that_no_guard_saw_is_nobodys():
    """Nobody may nothing, not even look."""
    asked = SimpleNamespace(scope={"headgate.who": "admin"})
    assert NOBODY == who(asked)
    assert not any(who(asked).may(role) for role in ROLES)
    anna = Who("anna", "viewer", "token", "c")
    admit(asked.scope, anna)
    assert anna == who(asked)


def test_the_secret_of_forms_is_not_printed():
    """Not in a log line, not in a trace."""
    assert "hush" not in repr(Who("anna", "viewer", "token", "hush"))
