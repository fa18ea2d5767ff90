"""Ids of traces and spans, the same whoever sends them and however often. Pure.

A workflow is one trace: its id is the workflow's UUID itself, so that either finds the other by hand. A span's id is a
hash of what it is about: `span_id("workflow", workflow_id)` for the root, `span_id("job", job_id)`, and with more parts
for what is inside a job: `span_id("queue", job_id)`, `span_id("step", job_id, node, index)`. Invariant: no time, clock
or chance goes in; a workflow and a job of one id have two spans, so that none is its own parent; and no id is all zero,
which W3C Trace Context section 3.2.2 (read November 2026) forbids.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

__all__ = ["SpanOf", "span_id", "trace_id"]

_TRACE_BYTES = 16
_SPAN_BYTES = 8
# `record`: a span of what has no id at CircleCI.
SpanOf = Literal["workflow", "job", "queue", "step", "record"]


def trace_id(workflow_id: str) -> bytes:
    """The 16 bytes of a workflow's trace: those of its UUID, or of a hash where the id is none."""
    try:
        own = bytes.fromhex(workflow_id.replace("-", ""))
    except ValueError:
        own = b""
    return own if len(own) == _TRACE_BYTES and any(own) else _hashed(_TRACE_BYTES, workflow_id)


def span_id(kind: SpanOf, *parts: str) -> bytes:
    """The 8 bytes of a span, from what it is about and the parts that name it, none with a NUL."""
    return _hashed(_SPAN_BYTES, "\0".join((kind, *parts)))


def _hashed(size: int, text: str) -> bytes:
    """The first `size` bytes of the hash; a 1 in the last place of the one hash in 2**64 that begins with zeros."""
    found = sha256(text.encode()).digest()[:size]
    return found if any(found) else b"\x01".rjust(size, b"\0")
