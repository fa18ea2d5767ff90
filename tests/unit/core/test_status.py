"""Every status word that CircleCI documents or was seen to send."""

from __future__ import annotations

import pytest

from headgate.core.status import OUR_STATUSES, is_terminal, map_status

# Source: CircleCI notes (shared facts, API v2 and v1.1 tables), read 2026-11.
WORDS = [
    ("success", "success", True),
    ("fixed", "success", True),
    ("failed", "failure", True),
    ("retried", "failure", True),
    ("error", "error", True),
    ("infrastructure_fail", "error", True),
    ("unauthorized", "error", True),
    ("timedout", "timeout", True),
    ("canceled", "canceled", True),
    ("not_run", "skipped", True),
    ("skipped", "skipped", True),
    ("terminated-unknown", "unknown", True),
    ("blocked", "blocked", False),
    ("running", "running", False),
    ("failing", "running", False),
    ("queued", "queued", False),
    ("not_running", "queued", False),
    ("on_hold", "on_hold", False),
]


@pytest.mark.parametrize(("theirs", "ours", "final"), WORDS, ids=[row[0] for row in WORDS])
def test_documented_words_are_mapped(theirs, ours, final):
    """Both our word and whether it can still change."""
    assert map_status(theirs) == ours
    assert is_terminal(theirs, stopped=False) is final


def test_an_unknown_word_is_unknown_and_final_once_it_has_an_end():
    """New words of CircleCI neither crash nor hang a run for ever."""
    assert map_status("hibernating") == "unknown"
    assert not is_terminal("hibernating", stopped=False)
    assert is_terminal("hibernating", stopped=True)
    assert not is_terminal(None, stopped=True)


def test_only_our_words_come_out():
    """The table is closed."""
    assert {map_status(row[0]) for row in WORDS} <= set(OUR_STATUSES)
