"""What two failure texts have in common: the telling line, without what differs from run to run. Pure.

Invariant: only the parts that `RULES` names are replaced, in their order, so that an answer can be explained; and what
came out stays as it is when it goes in again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

__all__ = ["RULES", "fingerprint", "normalize", "telling_line"]

# More of a text says nothing new, and keeps every pattern fast.
_MOST_CHARS, _MOST_LINES, _LONGEST_LINE = 20_000, 400, 1_000
_LONGEST = 200
_TRACEBACK = "Traceback (most recent call last)"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
# What is replaced by what, first one first. Each pattern is bounded, so that no text makes it slow.
RULES: Sequence[tuple[str, re.Pattern[str], str]] = (
    ("address of a page", re.compile(r"\b[a-z][a-z0-9+.-]{1,10}://[^\s\"'<>]{1,500}", re.IGNORECASE), "<url>"),
    ("id", re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (
        "time",
        re.compile(r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?:Z|[+-]\d\d:?\d\d)?(?!\w)"),
        "<time>",
    ),
    ("time of day", re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\b"), "<time>"),
    ("address in memory", re.compile(r"\b0x[0-9a-f]{1,16}\b|@[0-9a-f]{6,16}\b", re.IGNORECASE), "<address>"),
    ("host", re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b"), "<host>"),
    ("hash", re.compile(r"\b(?=[0-9a-f]{0,63}\d)(?=[0-9a-f]{0,63}[a-f])[0-9a-f]{7,64}\b", re.IGNORECASE), "<hash>"),
    (
        "folder of a file",
        re.compile(r"(?<![\w<>])(?:[A-Za-z]:)?[.~]{0,2}(?:[/\\][\w@.+-]{1,100}){1,40}[/\\](?=\w)"),
        "<path>/",
    ),
    (
        "duration",
        re.compile(r"\b\d{1,12}(?:[.,]\d{1,9})?\s?(?:ns|µs|us|ms|s|m|h|secs?|seconds?|mins?|minutes?|hours?)\b"),
        "<duration>",
    ),
    ("size", re.compile(r"\b\d{1,15}(?:\.\d{1,9})?\s?(?:[KMGT]i?B|bytes)\b", re.IGNORECASE), "<size>"),
    ("number", re.compile(r"(?<![<\w])[-+]?\d{1,300}(?:[.,]\d{1,300})*|(?<=[a-z_])\d{1,300}"), "<n>"),
    ("blanks", re.compile(r"\s+"), " "),
)
_TELLING = re.compile(
    r"error|exception|fail|fatal|panic|assert|cannot|can't|could not|unable|not found|no such|undefined|denied"
    r"|refused|reset by|timed? ?out|killed|out of memory|no space|segmentation|unexpected|mismatch|expected",
    re.IGNORECASE,
)
# Lines that say that something failed and not what: a summary, a frame of a trace, a variable that a shell sets.
_EMPTY = re.compile(
    r"^(?:traceback|during handling|the above exception|at |file \"|caused by:?$|exited with code"
    r"|error: process completed|npm err!|make: \*\*\*|={3,} |[-=_*~#. ]+$|\d+ (?:failed|passed)"
    r"|failed$|error:?$|failure:?$|errors?:? *\d+$|\+* ?(?:export |set )[a-z_]\w*=)",
    re.IGNORECASE,
)


def telling_line(text: str, *, last: bool = False) -> str:
    """The line that says what failed: the first that speaks of an error, of an output (`last`) the last one.

    Of a Python traceback it is the last one too. Without such a line the first, or the last, that is not empty. Empty
    for a text of blanks.
    """
    kept = text[-_MOST_CHARS:] if last else text[:_MOST_CHARS]
    if "\x1b" in kept:
        kept = _ESCAPE.sub("", kept)
    lines = kept.splitlines()
    if last or (_TRACEBACK in kept and _begins_traceback(lines)):
        lines.reverse()
    first = other = ""
    left = _MOST_LINES
    for one in lines:
        line = one.strip()[:_LONGEST_LINE]
        if not line:
            continue
        if not _EMPTY.match(line):
            if _TELLING.search(line):
                return line
            other = other or line
        first = first or line
        left -= 1
        if not left:
            break
    return other or first


def _told(lines: Iterable[str]) -> Iterator[str]:
    """Those that are not blank."""
    for one in lines:
        if line := one.strip():
            yield line[:_LONGEST_LINE]


def _begins_traceback(lines: Iterable[str]) -> bool:
    """Whether one of the first lines does."""
    return any(line.startswith(_TRACEBACK) for line in islice(_told(lines), _MOST_LINES))


# Whoever looks at failures looks at most of them again; a few megabytes.
@lru_cache(maxsize=8_192)
def normalize(line: str) -> str:
    """A line without what differs from run to run, 200 characters at most."""
    found = line[:_LONGEST_LINE]
    for _, pattern, instead in RULES:
        found = pattern.sub(instead, found)
    return found.strip()[:_LONGEST].strip()


def fingerprint(*parts: str) -> str:
    """Twelve hex digits that are the same for the same parts."""
    return hashlib.sha256("\x1f".join(parts).encode(errors="surrogatepass")).hexdigest()[:12]
