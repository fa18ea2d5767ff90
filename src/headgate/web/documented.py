"""What routes answer, for the OpenAPI document. The schemas of all answers take longer to make than the routes.

Invariant: none is made before the document is asked for; until then a route names its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi.encoders import jsonable_encoder
from fastapi.openapi.models import OpenAPI
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

__all__ = ["documented", "filled_in", "shaped"]

_JSON = "application/json"
_NAMED = "x-answer"
_SENT: Final = "serialization"
_REFERENCE = "#/components/schemas/{model}"
# By the words that name them, which say where a type is from.
_ANSWERS: dict[str, Any] = {}


def documented(answer: Any, status: int = 200) -> dict[str, Any]:
    """Arguments of a route whose answer looks like this, and is sent as it is."""
    return {"response_model": None, "responses": {status: shaped(answer)}}


def shaped(answer: Any) -> dict[str, Any]:
    """A response that looks like this."""
    name = str(answer)
    _ANSWERS[name] = answer
    return {"content": {_JSON: {"schema": {_NAMED: name}}}}


def filled_in(document: dict[str, Any]) -> dict[str, Any]:
    """With schemas where routes name their answers, written as the framework writes those that it makes itself.

    Raises ValueError where a body has the name of another shape.
    """
    named = list(_named(document))
    names = {schema[_NAMED] for _, schema in named}
    adapters: Iterator[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = (
        (name, _SENT, TypeAdapter(_ANSWERS[name])) for name in sorted(names)
    )
    made, found = TypeAdapter.json_schemas(adapters, ref_template=_REFERENCE)
    for title, schema in named:
        own = made[schema.pop(_NAMED), _SENT]
        schema.update(own if "$ref" in own else {**own, "title": title})
    parts = document.setdefault("components", {})
    of_bodies, of_answers = parts.get("schemas", {}), found.get("$defs", {})
    if both := of_bodies.keys() & of_answers.keys():
        raise ValueError(f"bodies and answers have shapes of one name: {', '.join(sorted(both))}")
    parts["schemas"] = dict(sorted((of_bodies | of_answers).items()))
    whole: dict[str, Any] = jsonable_encoder(OpenAPI(**document), by_alias=True, exclude_none=True)
    return whole


def _named(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema that names an answer, with the title that it has without a name of its own."""
    for routes in document["paths"].values():
        for route in routes.values():
            for status, response in route["responses"].items():
                schema = response.get("content", {}).get(_JSON, {}).get("schema", {})
                if _NAMED in schema:
                    yield f"Response_{status}_{route['operationId']}".title().replace("_", " "), schema
