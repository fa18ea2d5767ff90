"""Loads rule files: globs, YAML, form, meaning. Every problem of every file is found in one go, with its line.

Invariant: either all files are good and rules come back, or problems do; never some of the rules.
"""

from __future__ import annotations

import dataclasses
import glob
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from headgate.alerting.compile import compile_file
from headgate.alerting.forms import RuleFile, spec_fields
from headgate.alerting.inhibition import Inhibition, InhibitSpec, compile_inhibition
from headgate.alerting.meta import META_RULES
from headgate.alerting.rules import Rule
from headgate.alerting.spec import SHIPPED, Ground
from headgate.alerting.yamlfile import KeyPath, Problem, YamlDocument, nearest, parse_yaml
from headgate.core.errors import ConfigError

__all__ = [
    "check_rules",
    "default_rules_text",
    "load_inhibitions",
    "load_rules",
    "parse_rules",
    "read_spec",
    "rule_files",
    "rule_texts",
]

Form = TypeVar("Form", bound=BaseModel)
REQUIRED = "is required"


def default_rules_text() -> str:
    """The rules that are shipped, used where none are configured."""
    return (resources.files("headgate.alerting") / "default_rules.yaml").read_text("utf-8")


def rule_files(patterns: Sequence[str], base: Path) -> tuple[list[Path], list[Problem]]:
    """Files of the globs, relative to `base`, each once, sorted within a glob; no file for a glob is a problem."""
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for pattern in patterns:
        files = sorted(glob.glob(str(base / pattern), recursive=True))  # noqa: PTH207  # pattern may be absolute
        if not files:
            problems.append(Problem(pattern, 1, "", "no such rule file"))
        found.update(dict.fromkeys(Path(file) for file in files))
    return list(found), problems


def check_rules(
    paths: Sequence[str],
    *,
    base: Path | None = None,
    ground: Ground = SHIPPED,
) -> list[Problem]:
    """All that is wrong with the rule files; empty when they can be used."""
    return _read(paths, base, ground)[1]


def load_rules(
    patterns: Sequence[str],
    *,
    base: Path | None = None,
    ground: Ground = SHIPPED,
) -> tuple[Rule, ...]:
    """The rules of all files, or the shipped ones without any pattern. Raises ConfigError with every problem."""
    rules, problems = _read(patterns, base, ground)
    if problems:
        raise ConfigError(*map(str, problems))
    return rules


def load_inhibitions(patterns: Sequence[str], *, base: Path | None = None) -> tuple[Inhibition, ...]:
    """What the rule files say under `inhibit`. Raises ConfigError with every problem of the files."""
    texts, problems = rule_texts(patterns, base)
    specs: list[InhibitSpec] = []
    for name, text in texts:
        document, found = parse_yaml(name, text)
        problems += found
        spec = read_spec(document, RuleFile, problems) if document else None
        specs += spec.inhibit if spec else []
    if problems:
        raise ConfigError(*map(str, problems))
    return tuple(compile_inhibition(spec) for spec in specs)


def _read(patterns: Sequence[str], base: Path | None, ground: Ground) -> tuple[tuple[Rule, ...], list[Problem]]:
    texts, problems = rule_texts(patterns, base)
    if not patterns:  # the shipped rules make do with what is kept
        ground = dataclasses.replace(ground, facts_ms=sys.maxsize, tests_ms=sys.maxsize)
    rules, more = parse_rules(texts, ground)
    return rules, problems + more


def rule_texts(patterns: Sequence[str], base: Path | None) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Name and text of every file, the shipped one without any pattern."""
    if not patterns:
        return [("default_rules.yaml", default_rules_text())], []
    files, problems = rule_files(patterns, base or Path())
    texts: list[tuple[str, str]] = []
    for file in files:
        try:
            texts.append((str(file), file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(file), 1, "", f"cannot be read: {error}"))
    return texts, problems


def parse_rules(texts: Iterable[tuple[str, str]], ground: Ground = SHIPPED) -> tuple[tuple[Rule, ...], list[Problem]]:
    """Rules of (file name, text) pairs, with everything wrong with them."""
    rules: list[Rule] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {name.lower(): "built in" for name in META_RULES}
    groups: dict[str, str] = {}
    for name, text in texts:
        document, found = parse_yaml(name, text)
        problems += found
        spec = read_spec(document, RuleFile, problems) if document else None
        if document is None or spec is None:
            continue
        compiled, wrong = compile_file(spec, base=Path(name).parent, ground=ground)
        problems += [document.problem(path, text) for path, text in wrong]
        problems += _duplicates(document, spec, seen, groups)
        rules += [dataclasses.replace(rule, source=document.place(path)) for path, rule in compiled]
    return (() if problems else tuple(rules)), problems


def _duplicates(document: YamlDocument, spec: RuleFile, seen: dict[str, str], groups: dict[str, str]) -> list[Problem]:
    """Names that were used before, in this file or another; names that differ in case alone overlap."""
    problems: list[Problem] = []

    def claim(known: dict[str, str], name: str, path: KeyPath, what: str) -> None:
        if name.lower() in known:
            problems.append(document.problem(path, f"{what} {name!r} is taken ({known[name.lower()]})"))
        known.setdefault(name.lower(), document.place(path))

    for g, group in enumerate(spec.groups):
        claim(groups, group.name, ("groups", g, "name"), "group name")
        for r, rule in enumerate(group.rules):
            claim(seen, rule.alert, ("groups", g, "rules", r, "alert"), "rule name")
    return problems


def read_spec(document: YamlDocument, form: type[Form], problems: list[Problem]) -> Form | None:
    """Check data against a form; None after adding what is wrong to `problems`."""
    if not isinstance(document.value, dict):
        problems.append(document.problem((), "the file must hold a mapping"))
        return None
    try:
        return form.model_validate(document.value)
    except ValidationError as error:
        found = [
            document.problem(path := _real_path(document.value, one["loc"]), _words(form, path, one))
            for one in _causes(error.errors(include_url=False))
        ]
        problems += [one for one in found if not _is_misspelled(one, found)]
        return None


def _causes(errors: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Mistakes without those that follow from others: a list is not too short because what is in it was refused."""
    for one in errors:
        depth = len(one["loc"])
        if one["type"] != "too_short" or all(
            other["loc"][:depth] != one["loc"] for other in errors if other is not one
        ):
            yield one


def _is_misspelled(problem: Problem, others: Sequence[Problem]) -> bool:
    """Whether a missing key is there under a name that another problem already corrects."""
    parent, _, key = problem.key.rpartition(".")
    hint = f"did you mean `{key}`?"
    return problem.text == REQUIRED and any(
        hint in other.text and other.key.rpartition(".")[0] == parent for other in others
    )


def _real_path(value: Any, loc: tuple[Any, ...]) -> KeyPath:
    """Pydantic's path without the names of union members, which are not in the file."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        inside = isinstance(value, Mapping) and part in value
        inside = inside or (isinstance(value, list) and isinstance(part, int) and part < len(value))
        if inside:
            path.append(part)
            value = value[part]
        elif index == len(loc) - 1 and isinstance(value, Mapping) and str(part).isidentifier():
            path.append(part)
    return tuple(path)


def _words(form: type[BaseModel], path: KeyPath, found: Mapping[str, Any]) -> str:
    match found["type"]:
        case "extra_forbidden":
            known = list(spec_fields(_form_at(form, path[:-1])))
            return f"unknown key{nearest(str(path[-1]), known)}"
        case "missing":
            return REQUIRED
        case "value_error":
            return str(found["ctx"]["error"])
        case "literal_error" if words := re.findall(r"'([^']*)'", found["ctx"]["expected"]):
            return f"{found['input']!r} is not one of the words there are{nearest(str(found['input']), words)}"
        case _:
            return str(found["msg"])


def _form_at(form: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """The model that describes the mapping at a path."""
    for part in path:
        if isinstance(part, int):
            continue
        info = next((i for n, i in form.model_fields.items() if part in (n, i.alias)), None)
        inner = _model_in(info.annotation) if info else None
        if inner is None:
            return form
        form = inner
    return form


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for arg in get_args(annotation) if (model := _model_in(arg))), None)
