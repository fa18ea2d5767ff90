"""Option tables are made from the configuration models."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from headgate.plugins.config import Duration, PluginConfig, Secret, duration_field
from headgate.plugins.docs import BEGIN, END, option_table, with_table


class Inner(PluginConfig):
    """A section."""

    key: Secret = Field(description="Key.")


class Sample(PluginConfig):
    """Every type that options have."""

    name: str = Field(description="Name | alias.")
    wait: Duration = duration_field("90s", "Wait.")
    mode: Literal["a", "b"] = Field(default="a", description="Mode.")
    on: bool = Field(default=False, description="On.")
    limit: int | None = Field(default=None, description="Limit.")
    tags: tuple[str, ...] = Field(default=(), description="Tags.")
    statuses: frozenset[int] = Field(default=frozenset({204, 200}), description="Statuses.")
    extra: dict[str, str] = Field(default_factory=dict, description="Extra.")
    inner: Inner | None = Field(default=None, description="Inner.")


TABLE = """| option | type | default | meaning |
|---|---|---|---|
| `name` | text | required | Name \\| alias. |
| `wait` | duration | `90s` | Wait. |
| `mode` | `a`, `b` | `a` | Mode. |
| `on` | true or false | `false` | On. |
| `limit` | number |  | Limit. |
| `tags` | list of text |  | Tags. |
| `statuses` | list of number | `200`, `204` | Statuses. |
| `extra` | map of text |  | Extra. |
| `inner` | section |  | Inner. |
| `inner.key` | secret | required | Key. |
"""


def test_each_option_is_a_row() -> None:
    """Types, defaults and sections as people write them; a pipe does not break the table."""
    assert option_table(Sample) == TABLE


def test_a_page_keeps_its_text_around_the_table() -> None:
    """Only what is between the marks is replaced, and doing it twice changes nothing."""
    page = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", Sample)
    assert page == f"before\n{BEGIN}\n{TABLE}{END}\nafter\n"
    assert with_table(page, Sample) == page


def test_a_page_without_marks_is_an_error() -> None:
    """A page that lost its marks would silently grow old."""
    with pytest.raises(ValueError, match="lacks"):
        with_table("nothing", Sample)


class Nested(PluginConfig):
    """May hold others of its own kind."""

    name: str = Field(description="Name.")
    parts: tuple[Nested, ...] = Field(default=(), description="Parts.")


class Tree(PluginConfig):
    """Holds some."""

    roots: tuple[Nested, ...] = Field(default=(), description="Roots.")


def test_what_holds_its_own_kind_is_described_once() -> None:
    """The row is there, its options are not repeated for ever."""
    names = [line.split("`")[1] for line in option_table(Tree).splitlines()[2:]]
    assert names == ["roots", "roots.name", "roots.parts"]
