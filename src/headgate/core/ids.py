"""Record ids: functions of the fact alone, so a webhook, a poll and a replay agree.

No time, no slug, no source name goes in (design: section 3).
"""

from __future__ import annotations

import uuid

__all__ = ["NAMESPACE", "amendment_id", "number_key", "record_id"]

# Fixed for ever: changing it would give every fact a second identity.
NAMESPACE = uuid.UUID("6f1d9b0e-6f0a-5c39-9a2f-3f4a7a1f7d51")


def record_id(kind: str, host: str, provider_id: str) -> str:
    """The id of the record about one fact; `provider_id` is its UUID, or `number_key` where it has none."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}\n{host}\n{provider_id}"))


def number_key(project_id: str, number: int) -> str:
    """Stands in for a UUID on builds that have none. It cannot collide with a UUID."""
    return f"{project_id}#{number}"


def amendment_id(amended: str, revision: int) -> str:
    """The id of the `revision`-th amendment (1, 2, ...) of a record."""
    return str(uuid.uuid5(NAMESPACE, f"amendment\n{amended}\n{revision}"))
