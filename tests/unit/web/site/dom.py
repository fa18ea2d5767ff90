"""Reads a page as a browser would: a tree of elements with their attributes and words, so that tests can ask it."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

_EMPTY = {"meta", "link", "input", "br", "img"}


class Node:
    """An element. `words`: its text and that of everything in it, but for what is hidden from those who see."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parts: list[Node | str] = []

    def all(self, tag: str = "", **attributes: str | None) -> list[Node]:
        """Those in it of a tag, with these attributes (`data_x`; None: any value), in order."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [one for one in self._every() if one._is(tag, wanted)]

    def one(self, tag: str = "", **attributes: str | None) -> Node:
        """The only one of these."""
        (found,) = self.all(tag, **attributes)
        return found

    def _is(self, tag: str, wanted: dict[str, str | None]) -> bool:
        has = all(name in self.attributes and value in (None, self.attributes[name]) for name, value in wanted.items())
        return has and tag in ("", self.tag)

    def _every(self) -> Iterator[Node]:
        for part in self.parts:
            if isinstance(part, Node):
                yield part
                yield from part._every()

    @property
    def words(self) -> str:
        """One space between words."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            elif "hidden" not in part.attributes.get("class", "").split() and part.tag != "title":
                yield from part._texts()

    @property
    def number(self) -> float | None:
        """Its `data-value`, or that of the first in it."""
        holder = self if "data-value" in self.attributes else self.all(data_value=None)[0]
        value = holder.attributes["data-value"]
        return float(value) if value else None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(node)
        if tag not in _EMPTY:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while len(self.open) > 1:
            if self.open.pop().tag == tag:
                return

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read(text: str) -> Node:
    """The page as a tree."""
    reader = _Reader()
    reader.feed(text)
    return reader.open[0]


def rows_of(page: Node, caption: str) -> list[dict[str, Node]]:
    """Rows of the table whose caption begins so: heading -> cell."""
    (table,) = (one for one in page.all("table") if _caption(one).startswith(caption))
    heads = [head.words or _told(head) for head in table.one("thead").all("th")]
    rows = table.one("tbody").all("tr")
    return [dict(zip(heads, [*row.all("th"), *row.all("td")], strict=True)) for row in rows]


def _told(node: Node) -> str:
    """Its words, also those that are hidden."""
    return " ".join("".join(part if isinstance(part, str) else _told(part) for part in node.parts).split())


def _caption(table: Node) -> str:
    return _told(table.one("caption"))
