"""Turns validation errors into one line each: where, which key, what is wrong, what is near. Never repeats a value."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from headgate.app.configfile import KeyPath, Origins

__all__ = ["nearest", "problems_of"]


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` or the list of what is known; empty where nothing is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known keys: {', '.join(names)}" if names else ""


def problems_of(
    error: ValidationError, model: type[BaseModel], prefix: KeyPath, origins: Origins, extra: Iterable[str] = ()
) -> list[str]:
    """One line per error. `prefix`: path of the model in the file; `extra`: keys known beside the model's own."""
    lines: list[str] = []
    for found in error.errors(include_url=False, include_input=False):
        inner = _real_path(model, found["loc"])
        path = (*prefix, *inner)
        dotted = ".".join(str(part) for part in path) or "the file"
        text = _form(found["type"], found.get("ctx", {})) or _text(found["type"], found["msg"], model, inner, extra)
        line = f"{origins.where(path)}: {dotted}: {text}"
        if line not in lines:
            lines.append(line)
    return lines


def _text(kind: str, message: str, model: type[BaseModel], path: KeyPath, extra: Iterable[str]) -> str:
    if kind == "extra_forbidden":
        parent = _model_at(model, path[:-1])
        known = set(_names(parent)) if parent else set()
        meant = getattr(parent, "other_words", {}).get(path[-1])
        if meant in known:
            return f'unknown key; did you mean "{meant}"?'
        return "unknown key" + nearest(str(path[-1]), known | (set(extra) if len(path) == 1 else set()))
    if kind == "missing":
        return "required, and missing" + _only_value(model, path)
    if kind in _SHAPES:
        return _SHAPES[kind]
    if message.startswith("Input should be "):
        return "must be " + message.removeprefix("Input should be ")
    text = message.removeprefix("Value error, ")
    return text if text != message or kind == "value_error" else message[:1].lower() + message[1:]


def _form(kind: str, limits: Mapping[str, Any]) -> str:
    """What is wrong with length or characters, where pydantic speaks of Python's types; empty where it is not that."""
    match kind:
        case "too_short":
            return f"must have at least {_counted(limits['min_length'])}"
        case "too_long":
            return f"must have at most {_counted(limits['max_length'])}"
        case "string_too_short" if limits["min_length"] == 1:
            return "must not be empty"
        case "string_pattern_mismatch":
            return f"has a character or a length that is not allowed; the form is {limits['pattern']}"
    return ""


def _counted(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


_LIST = "must be a list: write [one, two], or a line `- one` for each"
_MAP = "must be keys and values: write {key: value}, or indented lines `key: value`"
_TEXT = "must be text: put it in quotes"
_WHOLE, _NUMBER, _YES_NO = "must be a whole number", "must be a number", "must be true or false"
# What is wrong with the shape of a value, by pydantic's word, where pydantic speaks of Python's types.
_SHAPES = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), _MAP),
    "string_type": _TEXT,
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _YES_NO),
}


def _only_value(model: type[BaseModel], path: KeyPath) -> str:
    """What to write for a missing key that can have but one value."""
    parent = _model_at(model, path[:-1])
    allowed = get_args(_field(parent, path[-1])) if parent else ()
    return f"; write `{path[-1]}: {allowed[0]}`" if len(allowed) == 1 and isinstance(allowed[0], int) else ""


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models that a field's annotation mentions, through Optional, unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]


def _field(model: type[BaseModel], name: object) -> Any:
    for key, field in model.model_fields.items():
        if name in (key, field.alias):
            return field.annotation
    return None


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    here: type[BaseModel] | None = model
    for part in path:
        if here is None:
            return None
        annotation = _field(here, part)
        if annotation is None:
            continue  # an index, a map's key or a union's tag: still inside the same model
        models = _models_in(annotation)
        here = models[0] if models else None
    return here


def _real_path(model: type[BaseModel], loc: tuple[int | str, ...]) -> KeyPath:
    """`loc` without what pydantic adds for unions (type names) and map keys (`[key]`)."""
    path: list[str | int] = []
    annotation: Any = model
    for part in loc:
        if part == "[key]":
            continue
        if isinstance(part, int):
            path.append(part)
            continue
        if _is_union(annotation) and part not in _keys(annotation):
            continue
        path.append(part)
        models = _models_in(annotation)
        annotation = next((found for found in (_field(one, part) for one in models) if found is not None), None)
    return tuple(path)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _keys(annotation: Any) -> set[str]:
    return {name for model in _models_in(annotation) for name in _names(model)}
