"""What is granted to whom."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from headgate.web.access.grants import OPEN, Access, ProxyGrant, TokenGrant, UserGrant, digest_of
from headgate.web.access.passwords import PasswordHash

PROXY = ProxyGrant(
    "x-forwarded-user",
    None,
    "x-forwarded-groups",
    {"ops": "admin", "dev": "operator"},
    (ipaddress.ip_network("10.0.0.0/30"), ipaddress.ip_network("::1/128")),
)


@pytest.mark.parametrize(
    ("only", "paths", "others"),
    [
        ((), "/ /api/v1/status /metrics", ""),
        (("badges",), "/badge/last-run.svg", "/badges /api/v1/status"),
        (("metrics",), "/metrics /metrics/ci", "/ /metricsx /api/v1/metrics /api/v1/status"),
        (("api",), "/api/v1/status /api/v1/insights/run", "/ /run/1 /metrics /api/v2/x"),
        (("/api/v1/insights/*", "metrics"), "/api/v1/insights/run /metrics", "/api/v1/insights /api/v1/status"),
    ],
)
def test_a_token_reaches_what_it_is_for(only, paths, others):
    """Scopes are words for patterns."""
    token = TokenGrant("t", "viewer", b"", only)
    assert bool(only) == token.limited
    assert all(token.reaches(path) for path in paths.split())
    assert not any(token.reaches(path) for path in others.split())


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.3", True),
        ("::ffff:10.0.0.3", True),
        ("::1", True),
        ("10.0.0.4", False),
        ("::2", False),
        ("", False),
        ("proxy", False),
        ("10.0.0.3%eth0", True),
    ],
)
def test_a_proxy_is_known_by_its_address(peer, trusted):
    """However the address is written."""
    assert trusted == PROXY.trusts(peer)


@pytest.mark.parametrize(
    ("groups", "role"),
    [("ops", "admin"), ("dev, ops", "admin"), ("x,dev", "operator"), ("", None), ("opsx,ops dev", None)],
)
def test_the_highest_group_counts(groups, role):
    """Who is in none has no role, unless everybody has."""
    assert role == PROXY.role_of(groups)


def test_everybody_may_have_a_role():
    """Groups may give more, not less."""
    everybody = ProxyGrant("x-forwarded-user", "operator", "g", {"guests": "viewer", "ops": "admin"}, ())
    assert ["operator", "operator", "admin"] == [everybody.role_of(one) for one in ("", "guests", "ops")]


def test_nothing_granted_is_open():
    """One grant of any kind closes it."""
    assert OPEN.is_open
    for access in (
        Access(tokens=(TokenGrant("t", "viewer", b""),)),
        Access(users=(UserGrant("u", "viewer", b""),)),
        Access(proxy=PROXY),
    ):
        assert not access.is_open
    assert Access(proxy=replace(PROXY, header="")).is_open  # it names nobody


def test_no_secret_is_printed():
    """Neither a digest, which could be guessed at."""
    kept = PasswordHash(14, 8, 1, b"salty", b"keyed")
    shown = repr(Access((TokenGrant("t", "viewer", digest_of("hush")),), (UserGrant("u", "viewer", b"mark", kept),)))
    assert not any(one in shown for one in ("digest", "mark", "salty", "keyed"))
