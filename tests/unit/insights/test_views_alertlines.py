"""What alerts did, as their history tells it."""

from __future__ import annotations

import msgspec

from headgate.insights.views.alertlines import history

LINE = {
    "who": "headgate",
    "rule": "Slow",
    "labels": {"project": "p"},
    "from": "pending",
    "to": "firing",
    "why": "breach",
}


class Lines:
    """A store that has these lines."""

    def __init__(self, *lines):
        self.lines = lines

    async def alert_history(self, fingerprint, limit):
        """All of them."""
        return self.lines


async def test_lines_are_read_newest_first():
    """By rule where one is asked for."""
    store = Lines(
        ("a", 1, msgspec.json.encode(LINE)),
        ("b", 3, msgspec.json.encode(LINE | {"rule": "Red", "told": ["pager"], "value": 0.5, "later": 1})),
    )
    newest, oldest = await history(store)
    assert (3, "Red", "pending", "firing", ("pager",), 0.5) == (
        newest.occurred_ms,
        newest.rule,
        newest.was,
        newest.became,
        newest.told,
        newest.value,
    )
    assert [oldest] == await history(store, "Slow")


async def test_a_line_that_cannot_be_read_is_shown_as_it_is():
    """Another version wrote it."""
    [line] = await history(Lines(("a", 1, b"{oh")))
    assert ("{oh", "a") == (line.why, line.fingerprint)
