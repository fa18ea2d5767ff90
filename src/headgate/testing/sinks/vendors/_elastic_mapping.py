"""How Elasticsearch's dynamic mapping types fields and refuses documents that do not fit.

Source: elastic.co, "Dynamic field mapping", "Field data types", "ignore_malformed" (general knowledge,
not re-read).
Invariant: a refused document changes no mapping.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OBJECTS = frozenset({"object", "nested"})
LONG = range(-(1 << 63), 1 << 63)


class DocumentError(ValueError):
    """The document cannot be indexed; the text is the server's reason."""


@dataclass(slots=True)
class FieldTypes:
    """Types by dotted path, and how strictly values are held against them.

    `constants` holds the values of constant_keyword fields, None until the first document sets one.
    """

    types: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str | None] = field(default_factory=dict)
    ignore_malformed: bool = False
    date_detection: bool = True
    strict: bool = False
    fields_limit: int = 1_000
    dynamic: list[Mapping[str, Any]] = field(default_factory=list)

    def declare(self, properties: Mapping[str, Any], prefix: str = "") -> None:
        """Add the fields of a template's `properties`."""
        for name, spec in properties.items():
            path = prefix + name
            kind = spec.get("type", "object")
            self._declare_parents(path)
            self.types[path] = kind
            if kind == "constant_keyword":
                self.constants[path] = spec.get("value")
            self.declare(spec.get("properties", {}), f"{path}.")

    def check(self, document: Mapping[str, Any]) -> None:
        """Fit a document and learn its new fields; raises DocumentError and learns nothing."""
        new: dict[str, str] = {}
        constants: dict[str, str] = {}
        self._walk(document, "", new, constants)
        if len(self.types) + len(new) > self.fields_limit:
            limit = self.fields_limit
            raise DocumentError(
                f"Limit of total fields [{limit}] has been exceeded while adding new fields [{len(new)}]"
            )
        self.types.update(new)
        self.constants.update(constants)

    def _declare_parents(self, path: str) -> None:
        parts = path.split(".")
        for end in range(1, len(parts)):
            self.types.setdefault(".".join(parts[:end]), "object")

    def _walk(self, document: Mapping[str, Any], prefix: str, new: dict[str, str], constants: dict[str, str]) -> None:
        for name, value in document.items():
            if not name.strip() or ".." in name or name.startswith(".") or name.endswith("."):
                raise DocumentError(f"field name cannot contain only whitespace or empty parts: [{name}]")
            path = prefix + name
            if "." in name:
                self._parents(path, new)
            for element in value if isinstance(value, list) else (value,):
                self._value(path, element, new, constants)

    def _parents(self, path: str, new: dict[str, str]) -> None:
        parts = path.split(".")
        for end in range(1, len(parts)):
            parent = ".".join(parts[:end])
            kind = self.types.get(parent) or new.setdefault(parent, "object")
            if kind not in OBJECTS:
                raise DocumentError(_not_an_object(parent, kind))

    def _value(self, path: str, value: Any, new: dict[str, str], constants: dict[str, str]) -> None:
        if isinstance(value, list):
            for element in value:
                self._value(path, element, new, constants)
        elif isinstance(value, dict):
            self._object(path, value, new, constants)
        elif value is not None:
            self._scalar(path, value, new, constants)

    def _object(self, path: str, value: Mapping[str, Any], new: dict[str, str], constants: dict[str, str]) -> None:
        kind = self.types.get(path) or new.get(path)
        if kind is None:
            kind = new[path] = self._learn(path, "object")
        if kind in OBJECTS:
            self._walk(value, f"{path}.", new, constants)
        elif kind != "flattened":
            raise DocumentError(_not_an_object(path, kind))

    def _scalar(self, path: str, value: Any, new: dict[str, str], constants: dict[str, str]) -> None:
        kind = self.types.get(path) or new.get(path)
        if kind is None:
            new[path] = self._learn(path, self._by_template(path, self._guess(value)))
        elif kind in OBJECTS or kind == "flattened":
            leaf = path.rpartition(".")[2]
            raise DocumentError(
                f"object mapping for [{path}] tried to parse field [{leaf}] as object, but found a concrete value"
            )
        elif kind == "constant_keyword":
            self._constant(path, value, constants)
        elif not FITS.get(kind, _anything)(value) and not self.ignore_malformed:
            raise DocumentError(f"failed to parse field [{path}] of type [{kind}]; value: '{value}'")

    def _learn(self, path: str, kind: str) -> str:
        if self.strict:
            leaf = path.rpartition(".")[2]
            raise DocumentError(f"mapping set to strict, dynamic introduction of [{leaf}] within [_doc] is not allowed")
        return kind

    def _by_template(self, path: str, guess: str) -> str:
        """The type that the first fitting dynamic template gives, else the guessed one."""
        matched = {"text": "string", "float": "double"}.get(guess, guess)
        for named in self.dynamic:
            rule = next(iter(named.values()))
            fits = fnmatchcase(path, rule.get("path_match", "*"))
            if fits and rule.get("match_mapping_type", "*") in ("*", matched):
                return str(rule["mapping"].get("type", guess))
        return guess

    def _guess(self, value: Any) -> str:
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, (int, float)):
            return "long" if isinstance(value, int) else "float"
        return "date" if self.date_detection and _looks_like_date(value) else "text"

    def _constant(self, path: str, value: Any, constants: dict[str, str]) -> None:
        fixed = self.constants.get(path)
        if fixed is None:
            constants[path] = str(value)
        elif str(value) != fixed:
            raise DocumentError(
                f"[constant_keyword] field [{path}] only accepts values that are equal to the value "
                f"defined in the mappings [{fixed}], but got [{value}]"
            )


def _not_an_object(path: str, kind: str) -> str:
    return f"failed to parse field [{path}] of type [{kind}]; found an object, expected a concrete value"


def _anything(_value: Any) -> bool:
    return True


def _number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _long(value: Any) -> bool:
    return _number(value) and (not isinstance(value, int) or value in LONG)


def _boolean(value: Any) -> bool:
    return isinstance(value, bool) or value in ("true", "false", "")


def is_date(value: Any) -> bool:
    """Tell whether `strict_date_optional_time||epoch_millis` takes the value."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return False
    if isinstance(value, int) or value.lstrip("-").isdigit():
        return True
    return _looks_like_date(value)


def _looks_like_date(text: str) -> bool:
    if len(text) < 10 or text[4] != "-" or text[7] != "-":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _ip(value: Any) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


FITS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), _long),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), _number),
    "boolean": _boolean,
    "date": is_date,
    "date_nanos": is_date,
    "ip": _ip,
}
"""Test per field type; types that are not here take any scalar."""
