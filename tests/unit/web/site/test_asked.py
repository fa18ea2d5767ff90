"""What an address asks for, and the addresses that ask for it."""

from __future__ import annotations

import pytest

from headgate.insights.views.refusal import Refused
from headgate.web.site.asked import read_asked

NOW = 1_795_000_000_000


def test_nothing_asks_for_a_week():
    """A bare address has the usual window, and links from it stay bare."""
    asked = read_asked({}, NOW)
    assert ("7d", "last 7 days", {}) == (asked.name, asked.words, asked.kept)
    assert asked.url("/projects") == "/projects"


@pytest.mark.parametrize(
    ("query", "name", "words", "url"),
    [
        ({"window": "30d"}, "30d", "last 30 days", "/x?window=30d"),
        ({"window": "36h"}, "", "last 36h", "/x?window=36h"),
        (
            {"since": "2026-11-01", "until": "2026-11-03"},
            "",
            "2026-11-01 00:00 to 2026-11-03 00:00",
            "/x?since=2026-11-01&until=2026-11-03",
        ),
        (
            {"window": "24h", "until": "2026-10-01"},
            "",
            "2026-09-30 00:00 to 2026-10-01 00:00",
            "/x?window=24h&until=2026-10-01",
        ),
    ],
)
def test_a_window_is_carried_along(query, name, words, url):
    """By its name, its length or its dates."""
    asked = read_asked(query, NOW)
    assert (name, words, url) == (asked.name, asked.words, asked.url("/x"))


def test_names_of_all_kinds_survive_an_address():
    """Markup, slashes, other alphabets and what an address means by itself."""
    asked = read_asked({"branch": "a&b=<c>/ä#?", "window": "24h"}, NOW)
    assert asked.chosen.branch == "a&b=<c>/ä#?"
    assert asked.url("/w", **asked.filters) == "/w?branch=a%26b%3D%3Cc%3E%2F%C3%A4%23%3F&window=24h"
    assert asked.at("/w", "7d", workflow="") == "/w"
    assert asked.plain("/w", project="p") == "/w?project=p"


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ({"window": "soon"}, "bad-time"),
        ({"since": "2026-02-31"}, "bad-time"),
        ({"since": "2026-11-03", "until": "2026-11-01"}, "reversed-range"),
        ({"branch_class": "main"}, "bad-filter"),
        ({"branch": "x" * 1001}, "bad-parameter"),
    ],
)
def test_what_cannot_be_read_is_refused(query, kind):
    """Each says which word is wrong."""
    with pytest.raises(Refused) as refused:
        read_asked(query, NOW)
    assert refused.value.kind == kind
