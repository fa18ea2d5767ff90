"""docs/tour.md as something that can be walked: its steps, each with addresses and the words that must be there.

Invariant: nothing about the steps is written here; a step that is changed in the document is changed in the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Page, expect

TOUR = Path(__file__).resolve().parents[2] / "docs" / "tour.md"
_STEP = re.compile(r"(?m)^## (?:(\d+)\. )?(.+)$")
_STOP = re.compile(r"<http://127\.0\.0\.1:8080(/[^>]*)>")
_WORDS = re.compile(r"`([^`]+)`")
# A step without an address goes on from the page of the one before.
_NEWEST_FAILED = "tr[data-run]:has-text('failure') a"


@dataclass(frozen=True)
class Stop:
    """One page of a step. `path`: empty where a link of the page before leads there; `words`: what it shows."""

    step: int
    title: str
    path: str
    words: tuple[str, ...]

    def reach(self, page: Page, address: str) -> None:
        """Go there, by address or by link."""
        if self.path:
            page.goto(address + self.path)
        else:
            page.locator(_NEWEST_FAILED).first.click()
            page.wait_for_load_state()

    def look(self, page: Page) -> None:
        """Raises AssertionError with the word that is missing."""
        for words in self.words:
            expect(page.locator("main"), f"step {self.step}, {self.title}").to_contain_text(words)


def stops() -> Iterator[Stop]:
    """The stops in the order of the document."""
    text = TOUR.read_text("utf-8")
    steps = list(_STEP.finditer(text))
    for step, following in pairwise([*steps, None]):
        if step is None or step[1] is None:
            continue
        body = text[step.end() : following.start() if following else len(text)]
        pieces = _STOP.split(body)
        for path, words in zip(pieces[1::2], pieces[2::2], strict=True) if len(pieces) > 1 else [("", body)]:
            yield Stop(int(step[1]), step[2], path, tuple(_WORDS.findall(words)))
