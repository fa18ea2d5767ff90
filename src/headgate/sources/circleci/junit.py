"""Reads JUnit XML, as a stream, trusting nothing in it. Pure.

Invariant: a document type declaration is refused before any entity of it exists, so no entity can grow or reach out;
a file is either read whole or refused whole. `BATCH` cases are held at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat  # declarations, and with them all entities, are refused below

from headgate.core.errors import Unparsable
from headgate.sources.circleci.normalize_tests import MESSAGE_CHARS, Case, run_ms, split_parameters, tidy_file

__all__ = ["junit_cases"]

BATCH = 500
_PIECE = 65_536
_DEEPEST = 100
_ROOTS = frozenset({"testsuites", "testsuite"})
# What a case holds -> its result; the first one that does not pass counts.
_RESULTS = {"failure": "fail", "error": "fail", "skipped": "skip"}


def junit_cases(body: bytes, node: int | None) -> Iterator[list[Case]]:
    """The cases of a file, in batches.

    Raises Unparsable before the first batch: `xml_declaration` (a DOCTYPE), `xml_broken`, `xml_deep`, `not_junit`.
    """
    for _ in _read(body, node):
        """Once through, so that nothing is told of a file that breaks later."""
    yield from _read(body, node)


def _read(body: bytes, node: int | None) -> Iterator[list[Case]]:
    reader = _Reader(node)
    try:
        for start in range(0, len(body), _PIECE):
            reader.parser.Parse(body[start : start + _PIECE], False)
            if len(reader.cases) >= BATCH:
                yield reader.take()
        reader.parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as exc:
        raise Unparsable("xml_broken", str(exc)) from exc
    if reader.cases:
        yield reader.take()


@dataclass(slots=True)
class _Open:
    """A case that has not ended."""

    attributes: Mapping[str, str]
    result: str = "pass"
    message: str = ""
    inside: str = ""
    text: list[str] = field(default_factory=list)
    chars: int = 0


class _Reader:
    """What the parser has seen so far."""

    def __init__(self, node: int | None) -> None:
        self.cases: list[Case] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._node = node
        self._depth = 0
        self._suites: list[tuple[str, str]] = []  # name and file
        self._open: _Open | None = None

    def take(self) -> list[Case]:
        """The cases read since the last time."""
        taken, self.cases = self.cases, []
        return taken

    def _doctype(self, *_: object) -> None:
        raise Unparsable("xml_declaration", "a document type declaration is refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and name not in _ROOTS:
            raise Unparsable("not_junit", f"the root is {name[:80]}")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unparsable("xml_deep", f"elements are nested more than {_DEEPEST} deep")
        if name == "testsuite":
            above = self._suites[-1] if self._suites else ("", "")
            self._suites.append((attributes.get("name", "").strip() or above[0], attributes.get("file") or above[1]))
        elif name == "testcase" and self._open is None:
            self._open = _Open(attributes)
        elif self._open is not None and name in _RESULTS and self._open.result != "fail":
            self._open.result = _RESULTS[name]
            self._open.message = attributes.get("message", "")[: 2 * MESSAGE_CHARS]
            self._open.inside, self._open.text, self._open.chars = name, [], 0

    def _text(self, text: str) -> None:
        case = self._open
        if case is not None and case.inside and case.chars < 2 * MESSAGE_CHARS:
            case.text.append(text[: 2 * MESSAGE_CHARS])
            case.chars += len(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        case = self._open
        if name == "testsuite":
            self._suites.pop()
        elif case is not None and name == case.inside:
            case.message, case.inside = case.message or "".join(case.text), ""
        elif case is not None and name == "testcase":
            self._open = None
            if case.attributes.get("name", "").strip():
                self.cases.append(self._case(case))

    def _case(self, case: _Open) -> Case:
        suite, file = self._suites[-1] if self._suites else ("", "")
        name, parameters = split_parameters(case.attributes["name"].strip())
        return Case(
            suite=suite,
            class_name=case.attributes.get("classname", "").strip(),
            file=tidy_file((case.attributes.get("file") or file).strip()),
            name=name,
            parameters=parameters,
            source="junit",
            result=case.result,
            run_ms=run_ms(case.attributes.get("time")),
            message=case.message.strip() if case.result != "pass" else "",
            node=self._node,
        )
