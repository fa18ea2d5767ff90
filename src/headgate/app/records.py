"""The `records` section that every sink may have: which records it gets, and in which shape.

Owns how the section is written; what it does is core.shaping. Invariant: rules made from a valid section need no
further checks, and its key never shows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from headgate.app.sections import Size
from headgate.core.fieldlist import ATTRIBUTES
from headgate.core.patterns import compile_pattern
from headgate.core.record import Kind
from headgate.core.shaping import Globs, Shaper, ShapingRules, TagRule, Treatment
from headgate.plugins import PluginConfig, Secret, reveal

__all__ = ["FilterConfig", "RecordsConfig", "TagMatchConfig", "TagRuleConfig"]

_TAG = re.compile(r"[a-z0-9_]{1,40}")
_MOST_TAGS, _LONGEST_TAG = 32, 200
_MOST_RULES = 200
_MOST_PATTERNS = 20
# A longer character than this has none: what is cut keeps at least one.
_LEAST_TEXT = 16
# A shorter key could be found by trying.
_LEAST_KEY_BYTES = 16
# Names of attributes under these are data.
_FAMILIES = tuple(name[:-1] for name in {*chain(*ATTRIBUTES.values())} if name.endswith(".*"))
_KNOWN = sorted({name for name in chain(*ATTRIBUTES.values()) if not name.endswith(".*")})
_SLASHES_OF_A_SLUG = 2


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _MOST_TAGS:
        raise ValueError(f"at most {_MOST_TAGS} tags")
    for name, value in tags.items():
        if not _TAG.fullmatch(name):
            raise ValueError("a tag's name has lower-case letters, digits and _, 40 at most")
        if not value.strip() or len(value) > _LONGEST_TAG:
            raise ValueError(f"a tag's value has 1 to {_LONGEST_TAG} characters")
    return tags


Tags = Annotated[dict[str, str], AfterValidator(_checked_tags)]


class FilterConfig(PluginConfig):
    """Globs that choose; `*` also matches `/`."""

    include: tuple[str, ...] = Field(default=(), description="Globs, one of which must match; none: everything.")
    exclude: tuple[str, ...] = Field(default=(), description="Globs, none of which may match.")

    def globs(self) -> Globs:
        """As core.shaping takes it."""
        return Globs(self.include, self.exclude)


class TagMatchConfig(PluginConfig):
    """Globs that a record must match, all that are given."""

    project: str | None = Field(default=None, description="Glob of the project, such as `gh/acme/web`.")
    org: str | None = Field(default=None, description="Glob of the organisation, such as `gh/acme`.")
    branch: str | None = Field(default=None, description="Glob of `vcs.ref.head.name`.")
    workflow: str | None = Field(default=None, description="Glob of the workflow's name.")
    job: str | None = Field(default=None, description="Glob of the job's name.")
    kind: str | None = Field(default=None, description="Glob of the record's kind.")


class TagRuleConfig(PluginConfig):
    """Tags for some records."""

    match: TagMatchConfig = Field(description="Which records; all globs that are given must match.")
    tags: Tags = Field(alias="set", min_length=1, description="Tag -> value.")

    def rule(self) -> TagRule:
        """As core.shaping takes it."""
        return TagRule(self.match.model_dump(exclude_none=True), self.tags)


class RecordsConfig(PluginConfig):
    """Which records a sink gets, and what of them."""

    kinds: tuple[Kind, ...] = Field(default=(), description="Kinds of record that it gets; none given: all.")
    projects: FilterConfig = Field(default_factory=FilterConfig, description="Projects whose records it gets.")
    branches: FilterConfig = Field(default_factory=FilterConfig, description="Branches whose records it gets.")
    tags: Tags = Field(default_factory=dict, description="Tag -> value, set on every record as `tag.<name>`.")
    tag_rules: tuple[TagRuleConfig, ...] = Field(
        default=(), max_length=_MOST_RULES, description="Tags for some records; all that match apply, the later wins."
    )
    privacy: dict[str, Treatment] = Field(
        default_factory=dict, description="Glob of attributes -> `drop`, `hash` or `keep`; the last match wins."
    )
    hash_key: Secret | None = Field(
        default=None, description="Key of `hash`: equal values get equal hashes under one key. Required by `hash`."
    )
    redact: tuple[str, ...] = Field(
        default=(),
        max_length=_MOST_PATTERNS,
        description="Regular expressions whose matches in any text become `***`; lines over 2048 characters go whole.",
    )
    redact_tokens: bool = Field(
        default=True, description="Take what looks like a token, private key or password out of free text."
    )
    max_text: Size | None = Field(
        default=None,
        ge=_LEAST_TEXT,
        description="Longest text in bytes (`4KiB`); `headgate.truncated` names what was cut. None: as it is.",
    )

    @field_validator("redact")
    @classmethod
    def _usable(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for number, pattern in enumerate(patterns, start=1):
            try:
                compile_pattern(pattern)
            except ValueError as exc:
                raise ValueError(f"pattern {number}: {exc}") from exc
        return patterns

    @field_validator("privacy")
    @classmethod
    def _about_something(cls, privacy: dict[str, Treatment]) -> dict[str, Treatment]:
        """A glob that matches nothing would leave in the open what somebody meant to hide."""
        for glob in privacy:
            if glob.startswith(_FAMILIES) or any(fnmatchcase(name, glob) for name in _KNOWN):
                continue
            near = difflib.get_close_matches(glob, _KNOWN, n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/records.md has the names"
            raise ValueError(f"{glob} matches no attribute; {hint}")
        return privacy

    @model_validator(mode="after")
    def _means_what_it_says(self) -> Self:
        if "kinds" in self.model_fields_set and not self.kinds:
            raise ValueError("kinds is empty, so nothing would be sent; leave it out for all kinds")
        if "hash" in self.privacy.values() and self.hash_key is None:
            raise ValueError("`hash` needs hash_key: a secret of your own, such as ${HEADGATE_HASH_KEY}")
        if self.hash_key is not None and len(reveal(self.hash_key).encode()) < _LEAST_KEY_BYTES:
            raise ValueError(f"hash_key is short enough to be found by trying; take {_LEAST_KEY_BYTES} bytes or more")
        for glob in (*self.projects.include, *self.projects.exclude):
            if "*" not in glob and "?" not in glob and glob.count("/") < _SLASHES_OF_A_SLUG:
                raise ValueError(f"{glob} is no project; write the whole slug, such as gh/acme/web, or a glob")
        return self

    def shaper(self) -> Shaper:
        """What does all this."""
        return Shaper(
            ShapingRules(
                kinds=frozenset(self.kinds),
                projects=self.projects.globs(),
                branches=self.branches.globs(),
                tags=self.tags,
                tag_rules=tuple(rule.rule() for rule in self.tag_rules),
                privacy=self.privacy,
                hash_key=reveal(self.hash_key).encode(),
                redact=tuple(compile_pattern(pattern) for pattern in self.redact),
                tokens=self.redact_tokens,
                max_text=self.max_text,
            )
        )

    def shown(self) -> Mapping[str, Any]:
        """What was configured, for `status`; the key is left out, and of patterns only their number is told."""
        given = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"hash_key"})
        return {**given, "redact": len(self.redact)} if self.redact else given
