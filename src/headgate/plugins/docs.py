"""Option tables of plugins, generated from their configuration models. Pure.

Invariant: a page's table is `option_table(model)` between the two marks, so a test can say that a page is out of date.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from headgate.plugins.config import Duration, format_duration

__all__ = ["BEGIN", "END", "option_table", "with_table"]

BEGIN = "<!-- options: generated from the configuration model -->"
END = "<!-- end of options -->"
_BETWEEN = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_DURATION_MARKS = get_args(Duration)[1:]
_WORDS: Mapping[Any, str] = {str: "text", int: "number", float: "number", bool: "true or false", type(None): "null"}


def option_table(model: type[BaseModel], prefix: str = "") -> str:
    """A Markdown table of a model's options in their order; nested models are rows with dotted names.

    One that may hold others of its own kind is described once.
    """
    head = "| option | type | default | meaning |\n|---|---|---|---|\n" if not prefix else ""
    return head + _table_rows(model, prefix, (model,))


def _table_rows(model: type[BaseModel], prefix: str, around: tuple[type[BaseModel], ...]) -> str:
    return "".join(_rows(name, field, prefix, around) for name, field in model.model_fields.items())


def with_table(page: str, model: type[BaseModel], more: str = "") -> str:
    """The page with its table brought up to date; `more`: rows below it. Raises ValueError when it has no marks."""
    if not _BETWEEN.search(page):
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    table = f"{BEGIN}\n{option_table(model)}{more}{END}"
    return _BETWEEN.sub(lambda _: table, page)


def _rows(name: str, field: FieldInfo, prefix: str, around: tuple[type[BaseModel], ...]) -> str:
    shown = f"{prefix}{field.alias or name}"
    nested = _model(field.annotation)
    cells = (f"`{shown}`", _type(field), _default(field), field.description or "")
    row = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    if nested is None or nested in around:
        return row
    return row + _table_rows(nested, f"{shown}.", (*around, nested))


def _model(annotation: Any) -> type[BaseModel] | None:
    """The nested model of an annotation, also behind `| None`."""
    for found in (annotation, *get_args(annotation)):
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def _is_duration(field: FieldInfo) -> bool:
    return any(mark in field.metadata for mark in _DURATION_MARKS[:1])


def _type(field: FieldInfo) -> str:
    return "duration" if _is_duration(field) else _type_name(field.annotation)


def _type_name(annotation: Any) -> str:
    """Words for a type. Raises TypeError for one that no plugin has had so far."""
    origin = get_origin(annotation)
    if annotation == Duration:
        return "duration"
    if origin is not None:
        return _generic_name(origin, get_args(annotation))
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        return "secret"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    raise TypeError(f"no words for the type {annotation!r}")


def _generic_name(origin: Any, inner: tuple[Any, ...]) -> str:
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(one) for one in inner if one is not type(None))
    if issubclass(origin, Mapping):
        return "section" if inner[1] is Any else f"map of {_type_name(inner[1])}"
    return f"list of {_type_name(inner[0])}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", {}, (), frozenset()) or isinstance(value, BaseModel):
        return ""
    if _is_duration(field):
        return f"`{value if isinstance(value, str) else format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list | frozenset):
        return ", ".join(f"`{one}`" for one in sorted(value))
    return f"`{value}`"
