"""What of a request is noted."""

from __future__ import annotations

from types import SimpleNamespace

from headgate.web.access.trail import Note, note, notes


def test_notes_of_a_request_are_kept_in_order():
    """The guard begins them, handlers add."""
    asked = SimpleNamespace(scope={})
    note(asked, "lost", "no guard asked for it")
    begun = notes(asked.scope)
    note(asked, "read", "run 1")
    note(asked, "export", "runs as csv")
    assert [Note("read", "run 1"), Note("export", "runs as csv")] == begun
