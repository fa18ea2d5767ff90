"""Reads the configuration as plain data that still knows where each value was written.

Owns YAML, `${...}` interpolation and environment overrides; knows no key by name. Interpolation happens after parsing
and into strings only, so a secret can never change the structure of the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from headgate.core.errors import ConfigError

__all__ = [
    "ENV_PREFIX",
    "KeyPath",
    "Origins",
    "interpolate",
    "overlay_environment",
    "read_text",
    "read_yaml",
    "references_in",
]

KeyPath = tuple[str | int, ...]
ENV_PREFIX = "HEADGATE__"
# A file with more nodes is a mistake or an alias bomb; real ones have hundreds.
_MAX_NODES = 100_000
_REFERENCE = re.compile(r"\$(\$)?\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_CREDENTIALS = (
    "no credentials directory; a service has one by LoadCredential=, and beside the running service you give a command "
    "its own: sudo CREDENTIALS_DIRECTORY=/run/credentials/headgate.service headgate ..."
)


@dataclass(frozen=True, slots=True)
class Origins:
    """Where values come from. `lines`: key path -> line; `variables`: key path -> environment variable."""

    file: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: Mapping[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """`file:line`, the variable, or the file alone; a missing key is where its nearest parent is."""
        for end in range(len(path), -1, -1):
            known = path[:end]
            if known in self.variables:
                return self.variables[known]
            if known in self.lines:
                return f"{self.file}:{self.lines[known]}"
        return self.file


class _Reader:
    """Turns one YAML document into data and positions."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self._loader = loader
        self._file = file
        self._nodes = 0
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[str] = []

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        """Data of a node; the line of its key (or its own) is kept under its path."""
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(path) > 50:
            raise ConfigError(f"{self._file}: too large or too deep; write out what its aliases repeat")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        written: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in written and key.tag != "tag:yaml.org,2002:merge":
                where = f"{self._file}:{key.start_mark.line + 1}"
                self.problems.append(f"{where}: {_dotted((*path, name))}: written twice; keep one of them")
            written.add(name)
        self._loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key, value in node.value:
            inner = (*path, str(key.value))
            self.lines[inner] = key.start_mark.line + 1
            data[str(key.value)] = self.read(value, inner)
        return data


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)


def read_text(file: Path) -> str:
    """The file's text. Raises ConfigError where it cannot be read, or is no UTF-8."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file}: not UTF-8 text at byte {exc.start}") from exc
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from exc


def read_yaml(text: str, file: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Parse one YAML mapping. Raises ConfigError with file and line for bad syntax and for keys written twice."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{file}:{node.start_mark.line + 1}: expected keys and values, such as `version: 1`")
        reader = _Reader(loader, file)
        data = reader.read(node, ())
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{file}: not valid YAML: unreadable characters") from exc
    finally:
        loader.dispose()
    if reader.problems:
        raise ConfigError(*reader.problems)
    return data, reader.lines


@dataclass(slots=True)
class _Interpolation:
    """One walk over parsed data that replaces references and gathers every problem."""

    environ: Mapping[str, str]
    origins: Origins
    base: Path
    problems: dict[KeyPath, str] = field(default_factory=dict)

    def walk(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: self.walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.walk(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda match: self._resolve(match, path), value)
        return value

    def _resolve(self, match: re.Match[str], path: KeyPath) -> str:
        escaped, inner = match.groups()
        if escaped:
            return "${" + inner + "}"
        kind, colon, rest = inner.partition(":")
        try:
            if kind == "file" and colon:
                return _read_secret(self.base / rest)
            if kind == "credential" and colon:
                return _read_secret(self._credential(rest))
            return self._variable(inner)
        except (OSError, UnicodeError, LookupError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc.args[0] if exc.args else exc)
            self.problems[path] = f"{self.origins.where(path)}: {_dotted(path)}: ${{{inner}}}: {reason}"
            return ""

    def _credential(self, name: str) -> Path:
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise LookupError(_NO_CREDENTIALS)
        return Path(directory) / name

    def _variable(self, inner: str) -> str:
        name, dash, default = inner.partition(":-")
        if not _NAME.fullmatch(name):
            raise LookupError("not a reference; write ${NAME}, ${NAME:-default}, ${file:PATH} or ${credential:NAME}")
        found = self.environ.get(name)
        if found:
            return found
        if dash:
            return default
        raise LookupError(f"environment variable {name} is not set; set it or write ${{{name}:-default}}")


def _read_secret(path: Path) -> str:
    return path.read_text("utf-8").rstrip("\r\n")


def interpolate(
    data: dict[str, Any],
    environ: Mapping[str, str],
    origins: Origins,
    base: Path,
    may_miss: Callable[[KeyPath], bool] = lambda _path: False,
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Replace `${...}` in every string. `base`: where relative `${file:...}` paths begin.

    `$${` stands for `${`. `may_miss`: keys that may stay unread. Returns the data and the problems of those that did.
    Raises ConfigError naming every other variable, file or credential that is missing.
    """
    work = _Interpolation(environ, origins, base)
    result: dict[str, Any] = work.walk(data, ())
    missing = [problem for path, problem in work.problems.items() if not may_miss(path)]
    if missing:
        raise ConfigError(*missing)
    return result, work.problems


def references_in(value: Any, path: KeyPath = ()) -> dict[KeyPath, str]:
    """Values that are a reference and nothing else, as it may be shown: `${env:NAME}`, `${file:PATH}`.

    A default is left out: it may be a secret itself.
    """
    if isinstance(value, dict):
        return {at: text for key, item in value.items() for at, text in references_in(item, (*path, key)).items()}
    if isinstance(value, list):
        pairs = enumerate(value)
        return {at: text for index, item in pairs for at, text in references_in(item, (*path, index)).items()}
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[1]:
        return {}
    kind, colon, _ = found[2].partition(":")
    named = colon and kind in ("file", "credential")
    return {path: found[0] if named else f"${{env:{found[2].partition(':-')[0]}}}"}


def _matching(names: Mapping[str, Any], wanted: str) -> str:
    """The key that a variable's part means: as written, else the same letters and digits in any case."""
    lowered = wanted.lower()
    plain = re.sub(r"[^a-z0-9]", "_", lowered)
    for name in names:
        if name.lower() == lowered or re.sub(r"[^a-z0-9]", "_", name.lower()) == plain:
            return name
    return lowered


def _decoded(text: str) -> Any:
    """Lists and maps are written as JSON; everything else stays a string, which the key's type then reads."""
    if text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def overlay_environment(
    data: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Put `HEADGATE__SECTION__KEY` variables over the data; also inside plugin maps.

    Values are taken as they are (no interpolation). Returns the new data and which variable each path came from.
    """
    result: dict[str, Any] = dict(data)
    variables: dict[KeyPath, str] = {}
    for variable in sorted(environ):
        parts = variable[len(ENV_PREFIX) :].split("__")
        if not variable.upper().startswith(ENV_PREFIX) or not all(parts):
            continue
        here = result
        path: list[str] = []
        for part in parts[:-1]:
            name = _matching(here, part)
            path.append(name)
            inner = here.get(name)
            here[name] = dict(inner) if isinstance(inner, dict) else {}
            here = here[name]
        name = _matching(here, parts[-1])
        here[name] = _decoded(environ[variable])
        variables[(*path, name)] = variable
    return result, variables
