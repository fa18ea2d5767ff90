"""The record: the one envelope in which every fact leaves Headgate. Versioned, flat, typed."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

__all__ = [
    "KINDS",
    "SCHEMA_VERSION",
    "Attribute",
    "Kind",
    "Record",
    "decode_record",
    "encode_record",
    "record_schema",
]

SCHEMA_VERSION = 1
Kind = Literal[
    "pipeline",
    "workflow",
    "job",
    "step",
    "test_result",
    "flaky_test",
    "usage",
    "insight",
    "deployment",
    "platform_event",
    "custom_metric",
    "amendment",
    "alert",
    "audit",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Attribute = str | int | float | bool | list[str]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact, as every sink gets it.

    `id`: a function of the fact (core.ids). `occurred_at`: the end, or when it was observed; never the start.
    `observed_at`: when Headgate first knew enough to release it. Both RFC 3339, UTC, milliseconds.
    `sources`: which inputs contributed, sorted. `tenant`: the provider's host. `org`, `project`: short slugs.
    `attributes`: flat, dotted names, sorted; missing is absent, never empty or 0.
    """

    id: str
    schema: int
    kind: Kind
    occurred_at: str
    observed_at: str
    sources: list[str]
    tenant: str
    org: str | None = None
    project: str | None = None
    attributes: dict[str, Attribute]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Canonical bytes of a record: keys in the order of the envelope, attributes sorted by whoever built them.

    These bytes are stored once and sent again on every retry and replay.
    """
    return _encoder.encode(record)


def decode_record(body: bytes) -> Record:
    """Read stored bytes back. Raises msgspec.DecodeError on anything that `encode_record` did not write."""
    return _decoder.decode(body)


def record_schema() -> dict[str, object]:
    """JSON Schema of the envelope, as `headgate schema record` prints it."""
    schema = msgspec.json.schema(Record)
    definition = dict(schema["$defs"]["Record"])
    time = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
    definition["properties"] = dict(definition["properties"])
    definition["properties"]["occurred_at"] = time
    definition["properties"]["observed_at"] = time
    definition["properties"]["schema"] = {"const": SCHEMA_VERSION}
    definition["properties"]["attributes"] = {
        "type": "object",
        "propertyNames": {"pattern": r"^[a-z0-9_]+(\.[a-z0-9_]+)*$"},
        "additionalProperties": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "number"},
                {"type": "boolean"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headgate record",
        **definition,
    }
