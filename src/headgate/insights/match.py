"""Label matchers: `project=gh/acme/web`, `branch!=main`, `team=~"a|b"`, `job!~".*lint"`.

Owns the one reading of `=`, `!=`, `=~` and `!~`, for rule groups and for routes. A label that is missing reads as
empty, as in Prometheus. Patterns are RE2's, anchored at both ends, as in Alertmanager: they take time in proportion to
the text, whoever writes them, and know no back references and no look around.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from headgate.core.tally import DEFAULT_BRANCH

__all__ = ["Matcher", "by_class", "matches", "parse_matcher"]

_FORM = re.compile(r"^\s*([a-z_][a-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. `op`: = != =~ !~."""

    label: str
    op: str
    value: str

    def accepts(self, value: str) -> bool:
        """Whether a label's value meets it."""
        if self.op in ("=", "!="):
            return (value == self.value) == (self.op == "=")
        return (_pattern(self.value).fullmatch(value) is not None) == (self.op == "=~")


def _bounded() -> Any:
    """Each pattern has at most a megabyte, so that those that are remembered have 64."""
    options = re2.Options()
    options.max_mem = 1 << 20
    options.log_errors = False
    return options


_OPTIONS = _bounded()


@lru_cache(maxsize=64)
def _pattern(text: str) -> Any:
    return re2.compile(text, options=_OPTIONS)


def parse_matcher(text: str) -> Matcher:
    """Read one matcher. Raises ValueError that says what is wrong with it."""
    form = _FORM.match(text)
    if form is None:
        raise ValueError(
            f"{text!r} is not a matcher; write label=value, label!=value, label=~pattern or label!~pattern"
        )
    label, op, value = form.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if op in ("=~", "!~"):
        try:
            _pattern(value)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace")
            raise ValueError(f"{value!r} is not a pattern of RE2: {reason}") from error
    return Matcher(label, op, value)


def matches(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels meet every matcher; an empty sequence takes everything."""
    return all(matcher.accepts(labels.get(matcher.label, "")) for matcher in matchers)


def by_class(matcher: Matcher) -> Matcher:
    """The matcher as facts know it: a default branch is one by its class, whatever its name."""
    if matcher.label == "branch" and matcher.value == DEFAULT_BRANCH:
        return Matcher("branch_class", matcher.op, matcher.value)
    return matcher
