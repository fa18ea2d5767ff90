"""Reading an OTLP body as strictly as its schema: protobuf without unknown fields, JSON as the specification wants it.

Source: OpenTelemetry Protocol specification, "JSON Protobuf Encoding", read November 2026. The schema is that of the
package opentelemetry-proto. Invariant: a body is read whole or refused; nothing is guessed.
"""

from __future__ import annotations

import base64
import binascii
import importlib
from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_LONG = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_SINT64,
}
_WORDS = {"traces": "Trace", "metrics": "Metrics", "logs": "Logs"}


class UnreadableError(ValueError):
    """The body is not a request of this signal; the text says why."""


def message_of(signal: str, kind: str) -> Any:
    """The class `Export<signal>Service<kind>`; `kind` is Request or Response."""
    word = _WORDS[signal]
    folder = word.lower()
    module = importlib.import_module(f"opentelemetry.proto.collector.{folder}.v1.{folder}_service_pb2")
    return getattr(module, f"Export{word}Service{kind}")


def read_protobuf(signal: str, body: bytes) -> Any:
    """The request in a protobuf body. Raises UnreadableError."""
    message = message_of(signal, "Request")()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise UnreadableError(f"proto: cannot parse: {error}") from error
    known = message_of(signal, "Request")()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() != message.ByteSize():
        raise UnreadableError("proto: unknown fields")
    return message


def read_json(signal: str, body: bytes) -> Any:
    """The request in a JSON body. Raises UnreadableError."""
    message = message_of(signal, "Request")()
    try:
        tree = orjson.loads(body)
        if not isinstance(tree, dict):
            raise UnreadableError("json: the body must be an object")
        json_format.ParseDict(_checked(tree, message.DESCRIPTOR, "body"), message)
    except (orjson.JSONDecodeError, json_format.ParseError) as error:
        raise UnreadableError(f"json: {error}") from error
    return message


def _checked(tree: Any, descriptor: Descriptor, where: str) -> Any:
    """The tree with its ids in base64, as protobuf's own JSON has them; what OTLP writes otherwise is refused."""
    if not isinstance(tree, dict):
        raise UnreadableError(f"json: {where} must be an object")
    fields = {field.json_name: field for field in descriptor.fields}
    out = {}
    for name, value in tree.items():
        field = fields.get(name)
        if field is None:
            raise UnreadableError(f"json: {where}.{name} is unknown")
        if field.is_repeated:
            if not isinstance(value, list):
                raise UnreadableError(f"json: {where}.{name} must be an array")
            out[name] = [_one(item, field, f"{where}.{name}") for item in value]
        else:
            out[name] = _one(value, field, f"{where}.{name}")
    return out


def _one(value: Any, field: FieldDescriptor, where: str) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _checked(value, field.message_type, where)
    if field.type == FieldDescriptor.TYPE_ENUM and (isinstance(value, bool) or not isinstance(value, int)):
        raise UnreadableError(f"json: {where} must be an enum's number")
    if field.type in _LONG and not isinstance(value, str):
        raise UnreadableError(f"json: {where} must be a 64-bit integer as text")
    if field.type == FieldDescriptor.TYPE_BYTES and field.json_name in _IDS:
        return _hex_id(value, _IDS[field.json_name], where)
    return value


def _hex_id(value: Any, size: int, where: str) -> str:
    try:
        raw = binascii.unhexlify(value) if isinstance(value, str) else b"?"
    except ValueError as error:
        raise UnreadableError(f"json: {where} is not hex") from error
    if value and len(raw) != size:
        raise UnreadableError(f"json: {where} must be {size} bytes in hex")
    return base64.b64encode(raw).decode()


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON data with hex ids and 64-bit integers as text, whatever encoding it came in."""
    tree: dict[str, Any] = json_format.MessageToDict(message, use_integers_for_enums=True)
    found: dict[str, Any] = _with_hex(tree)
    return found


def _with_hex(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_with_hex(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        name: base64.b64decode(value).hex() if name in _IDS and isinstance(value, str) else _with_hex(value)
        for name, value in tree.items()
    }


def attributes_of(pairs: Any) -> dict[str, Any]:
    """KeyValues as a map of plain values; 64-bit integers as numbers."""
    return {pair.key: _plain_value(pair.value) for pair in pairs}


def _plain_value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain_value(item) for item in value.array_value.values]
    return getattr(value, which) if which else None
