"""Patterns that a configuration brings, accepted only where their work on a line of text is bounded. Pure.

Python's `re` has no time-out, and whoever writes a commit message chooses the text. Invariant: an accepted pattern
tries at most `_MOST_WAYS` ways to match from each of at most `LONGEST_LINE` places.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

__all__ = ["LONGEST_LINE", "Redactions", "compile_pattern"]

# Longer lines are not searched: they are taken out whole.
LONGEST_LINE = 2048
# `\s{0,3}=\s{0,3}\S+` is as much as one may ask for: 4 * 4 * 2048.
_MOST_WAYS = 32_768
_LONGEST_PATTERN = 500
_GONE = "***"
# What `re` itself parses patterns with; there is no public way to a pattern's structure.
_parser: Any = import_module("re._parser")

_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_REFERENCES = frozenset({"GROUPREF", "GROUPREF_EXISTS", "GROUPREF_IGNORE"})


def compile_pattern(text: str) -> re.Pattern[str]:
    """The pattern, compiled. Raises ValueError, with what to write instead, for one that is wrong or too costly."""
    if len(text) > _LONGEST_PATTERN:
        raise ValueError(f"a pattern has at most {_LONGEST_PATTERN} characters; write several")
    try:
        compiled = re.compile(text)
        tree = _parser.parse(text)
    except (re.error, RecursionError, OverflowError) as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    if tree.getwidth()[0] == 0:
        raise ValueError("matches where nothing is; let it need at least one character")
    ways = _ways(tree)
    if ways > _MOST_WAYS:
        raise ValueError(
            "could take too long: at most one * or + in a pattern, and bounds such as {0,3} for what repeats beside it"
        )
    return compiled


def _ways(tree: Any) -> int:
    """In how many ways the parts can match from one place, at most. Raises ValueError where there is no bound."""
    ways = 1
    for op, argument in tree:
        name = str(op)
        if name in _REPEATS:
            ways *= _repeat_ways(*argument)
        elif name == "BRANCH":
            ways *= sum(_ways(branch) for branch in argument[1])
        elif name == "SUBPATTERN":
            ways *= _ways(argument[-1])
        elif name in ("ASSERT", "ASSERT_NOT"):
            ways *= _ways(argument[1])
        elif name == "ATOMIC_GROUP":
            ways *= _ways(argument)
        elif name in _REFERENCES:
            raise ValueError("could take too long: references to groups are not taken")
    return ways


def _repeat_ways(least: int, most: int, tree: Any) -> int:
    inner = _ways(tree)
    if most == 1:
        return inner + 1 - least
    if inner > 1:
        raise ValueError("could take too long: no repeats or alternatives inside a repeat; write [ab]+ for (a|b)+")
    return int(min(most, LONGEST_LINE)) - int(min(least, LONGEST_LINE)) + 1


class Redactions:
    """Takes out what any of some accepted patterns matches, line by line."""

    def __init__(self, patterns: tuple[re.Pattern[str], ...]) -> None:
        self._patterns = patterns

    def __call__(self, text: str) -> str:
        """The text with `***` for each match and for each line that is too long to be searched."""
        if "\n" in text:
            return "\n".join(map(self._line, text.split("\n")))
        return self._line(text)

    def _line(self, line: str) -> str:
        for pattern in self._patterns:
            if len(line) > LONGEST_LINE:
                return _GONE
            line = pattern.sub(_GONE, line)
        return line
