"""Patterns of a configuration are bounded before they see a commit message."""

from __future__ import annotations

import pytest

from headgate.core.patterns import LONGEST_LINE, Redactions, compile_pattern


@pytest.mark.parametrize(
    "text",
    [
        "ACME-[0-9]{4}",
        r"password\s{0,3}=\s{0,3}\S+",
        r"(?i)\b(?:alice|bob)@acme\.com",
        "(?:ab){3}",
        "secret-[ab]+",
        r"(?<=key=)\w+",
        "x(?:foo|bar)?",
        "(?>ab?)c",
    ],
)
def test_bounded_patterns_are_taken(text: str) -> None:
    """What people write to name their own secrets is taken."""
    assert compile_pattern(text).pattern == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(a+)+$", "inside a repeat"),
        ("(?:foo|bar)+", "inside a repeat"),
        ("(?:a|ab)*b", "inside a repeat"),
        ("((?:x?)y){2,9}", "inside a repeat"),
        (r"\s*=\s*\S+", "at most one"),
        ("a?" * 20 + "b", "at most one"),
        (r"(\d)\1", "references"),
        (r"(a)?(?(1)b|c)", "references"),
        ("a*", "where nothing is"),
        (r"\b", "where nothing is"),
        ("(", "not a regular expression"),
        ("a" * 501, "at most 500"),
    ],
)
def test_patterns_without_a_bound_are_refused(text: str, why: str) -> None:
    """Each is refused before it runs, with the reason."""
    with pytest.raises(ValueError, match=why):
        compile_pattern(text)


def test_lines_are_searched_one_by_one() -> None:
    """A match goes; a line too long to be searched goes whole; other lines stay."""
    redact = Redactions((compile_pattern("ACME-[0-9]{2}"), compile_pattern("b+ob")))
    long = "x" * (LONGEST_LINE + 1)
    assert redact(f"see ACME-12\n{long}\nbob, ACME-1") == "see ***\n***\n***, ACME-1"
