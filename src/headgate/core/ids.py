"""Record ids: functions of the fact alone, so a webhook, a poll and a replay agree.

No time, no slug, no source name goes in (design: section 3).
"""

from __future__ import annotations

import hashlib
import uuid

__all__ = ["NAMESPACE", "amendment_id", "identity_of_test", "leaf_key", "number_key", "record_id"]

# Fixed for ever: changing it would give every fact a second identity.
NAMESPACE = uuid.UUID("6f1d9b0e-6f0a-5c39-9a2f-3f4a7a1f7d51")
_NAMESPACE = NAMESPACE.bytes


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(NAMESPACE, name))` (RFC 9562, section 5.5) at a third of the cost: every record pays it."""
    raw = bytearray(hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def record_id(kind: str, host: str, provider_id: str) -> str:
    """The id of the record about one fact; `provider_id` is its UUID, or `number_key` where it has none."""
    return _uuid5(f"{kind}\n{host}\n{provider_id}")


def number_key(project_id: str, number: int) -> str:
    """Stands in for a UUID on builds that have none. It cannot collide with a UUID."""
    return f"{project_id}#{number}"


def amendment_id(amended: str, revision: int) -> str:
    """The id of the `revision`-th amendment (1, 2, ...) of a record."""
    return _uuid5(f"amendment\n{amended}\n{revision}")


def leaf_key(kind: str, *parts: str | int) -> str:
    """Stands in for a UUID on things that the provider gives none: a function of what they are part of.

    Each part is written with its length, so no two lists of parts read the same.
    """
    return _uuid5("\n".join([kind, *(f"{len(text)}:{text}" for text in map(str, parts))]))


def identity_of_test(*, suite: str, class_name: str, file: str, name: str, parameters: str) -> str:
    """What a test is, whatever job, rerun or machine ran it: the same everywhere in a project. Missing parts: empty."""
    return leaf_key("test", suite, class_name, file, name, parameters)
