"""Sessions begin at a login and end by themselves, by a logout, or with what granted them."""

from __future__ import annotations

from headgate.web.access.grants import TokenGrant, UserGrant, digest_of
from headgate.web.access.limits import Limits
from headgate.web.access.sessions import Sessions

IDLE_SECONDS, ABSOLUTE_SECONDS = Limits().idle, Limits().longest

ANNA = UserGrant("anna", "operator", b"mark")
TOKEN = TokenGrant("ci", "viewer", digest_of("t"))


def test_a_session_is_found_by_its_cookie_alone():
    """Which is kept as a digest, and differs each time, as does what forms carry."""
    sessions = Sessions()
    first, one = sessions.begin(ANNA, "session", 0.0)
    second, other = sessions.begin(ANNA, "session", 0.0)
    assert first != second
    assert one.who.csrf != other.who.csrf
    assert ("anna", "operator", "session") == (one.who.name, one.who.role, one.who.via)
    assert one is sessions.find(first, 1.0)
    assert sessions.find(first + "x", 1.0) is None
    assert sessions.find("", 1.0) is None
    assert first not in repr(sessions._known)


def test_a_session_ends_when_nobody_uses_it():
    """Each use puts that off."""
    sessions = Sessions()
    cookie, _ = sessions.begin(ANNA, "session", 0.0)
    assert sessions.find(cookie, IDLE_SECONDS - 1)
    assert sessions.find(cookie, 2 * IDLE_SECONDS - 2)
    assert sessions.find(cookie, 3 * IDLE_SECONDS) is None
    assert 0 == len(sessions)


def test_a_session_ends_after_a_week_whoever_uses_it():
    """A stolen one too."""
    sessions = Sessions()
    cookie, _ = sessions.begin(ANNA, "session", 0.0)
    at = 0.0
    while at + IDLE_SECONDS < ABSOLUTE_SECONDS:
        at += IDLE_SECONDS
        assert sessions.find(cookie, at)
    assert sessions.find(cookie, ABSOLUTE_SECONDS + 1) is None


def test_a_logout_ends_one_session():
    """Twice is as good as once."""
    sessions = Sessions()
    first, _ = sessions.begin(ANNA, "session", 0.0)
    second, _ = sessions.begin(ANNA, "session", 0.0)
    sessions.end(first)
    sessions.end(first)
    assert [None, True] == [sessions.find(first, 0.0), sessions.find(second, 0.0) is not None]


def test_sessions_end_with_what_granted_them():
    """Those of others stay."""
    sessions = Sessions()
    annas, _ = sessions.begin(ANNA, "session", 0.0)
    tokens, _ = sessions.begin(TOKEN, "session", 0.0)
    sessions.keep(lambda grant: grant in {TOKEN, UserGrant("anna", "admin", b"mark")})
    assert [None, True] == [sessions.find(annas, 0.0), sessions.find(tokens, 0.0) is not None]


def test_there_is_a_bounded_number_of_sessions():
    """The one that nobody used for longest goes; those that are over go first."""
    sessions = Sessions(most=2)
    first, _ = sessions.begin(ANNA, "session", 0.0)
    second, _ = sessions.begin(ANNA, "session", 0.0)
    sessions.find(first, 1.0)
    third, _ = sessions.begin(ANNA, "session", 1.0)
    assert [True, False, True] == [sessions.find(one, 2.0) is not None for one in (first, second, third)]
    sessions.begin(ANNA, "session", IDLE_SECONDS * 2)
    assert 1 == len(sessions)
