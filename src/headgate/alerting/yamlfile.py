"""YAML with the line of every key. Refuses what YAML lets pass: a key given twice, a value that holds itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["KeyPath", "Problem", "YamlDocument", "key_text", "near", "nearest", "parse_yaml"]

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file. `line` counts from 1; `key` such as `groups[0].rules[1].metric`."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """The line that `rules check --json` prints."""
        return {"file": self.file, "line": self.line, "key": self.key, "problem": self.text}


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A parsed file. `value`: plain data; `lines`: line of each key and list entry."""

    file: str
    value: Any
    lines: Mapping[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        """File and line of a path."""
        where = self.problem(path, "")
        return f"{where.file}:{where.line}"

    def problem(self, path: KeyPath, text: str) -> Problem:
        """A problem at a path; a path that is not in the file has the line of what should hold it."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(self.file, self.lines.get(known, 1), key_text(path), text)


def key_text(path: KeyPath) -> str:
    """Write a path as people do: groups[0].rules[1].metric."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_yaml(file: str, text: str) -> tuple[YamlDocument | None, list[Problem]]:
    """Parse one document; None with problems where that is impossible."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        return None, [_yaml_problem(file, error)]
    if node is None:
        return None, [Problem(file, 1, "", "the file is empty")]
    walk = _Walk(file, {}, [])
    walk.visit(node, (), frozenset())
    if walk.problems:
        return None, walk.problems
    try:
        value = loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        return None, [_yaml_problem(file, error)]
    return YamlDocument(file, value, walk.lines), []


def _yaml_problem(file: str, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    text = getattr(error, "problem", None) or str(error)
    return Problem(file, mark.line + 1 if mark else 1, "", f"not YAML: {text}")


@dataclass(frozen=True, slots=True)
class _Walk:
    """Collects lines and problems over a tree of nodes."""

    file: str
    lines: dict[KeyPath, int]
    problems: list[Problem]

    def visit(self, node: yaml.Node, path: KeyPath, above: frozenset[int]) -> None:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in above:
            self.problems.append(Problem(self.file, line, key_text(path), "the value holds itself"))
            return
        above |= {id(node)}
        if isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.visit(child, (*path, index), above)
        elif isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                self._visit_key(key, child, path, above)

    def _visit_key(self, key: yaml.Node, child: yaml.Node, path: KeyPath, above: frozenset[int]) -> None:
        inner, line = (*path, str(key.value)), key.start_mark.line + 1
        if inner in self.lines:
            text = f"given twice; first on line {self.lines[inner]}"
            self.problems.append(Problem(self.file, line, key_text(inner), text))
            return
        self.lines[inner] = line
        self.visit(child, inner, above)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?`, or the list of what is known."""
    names = sorted(known)
    close = near(word, names)
    return f"; did you mean `{close}`?" if close else f"; known are {', '.join(names)}"


def near(word: str, known: Iterable[str]) -> str:
    """The known word that `word` is most like; empty where it is like none."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), "")
