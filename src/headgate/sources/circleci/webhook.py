"""Decides whether a delivery really comes from CircleCI. Pure; never looks into the body beyond its signature.

Source: CircleCI documentation, "Webhooks" (validate a webhook), read 2026-11. The header holds `v1=<hex>`, perhaps
beside versions of the future; v1 is the lower-case hex HMAC-SHA256 of the raw body.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from headgate.core.ports import Refusal

__all__ = ["CircleCIWebhookPolicy", "signature"]

_MAX_PARTS = 16  # of a signature header; a sender has one, and each is compared with each secret
_MAX_EVENT_TYPE = 100  # bytes kept of what the sender calls its delivery
_WRONG_TYPE = Refusal(415, "content_type", "Content-Type must be application/json")
_NOT_ALLOWED = Refusal(
    401, "unsigned_not_allowed", "this source has no webhook secret; set webhook.secrets, or allow_unsigned: true"
)
_MISSING = Refusal(401, "signature_missing", "circleci-signature has no v1 part; set the secret in the webhook")
_MISMATCH = Refusal(401, "signature_mismatch", "circleci-signature does not fit the body and any configured secret")


def signature(secret: str, body: bytes) -> str:
    """The header value that CircleCI would send for this body."""
    return f"v1={hmac.digest(secret.encode(), body, 'sha256').hex()}"


class CircleCIWebhookPolicy:
    """Signature and content type. `max_body_bytes` is obeyed by the receiver before it has read more."""

    __slots__ = ("_allow_unsigned", "_keys", "max_body_bytes")

    def __init__(
        self, secrets: Sequence[str], *, allow_unsigned: bool = False, max_body_bytes: int = 1_048_576
    ) -> None:
        self._keys = tuple(secret.encode() for secret in secrets)
        self._allow_unsigned = allow_unsigned
        self.max_body_bytes = max_body_bytes

    def refuse(self, headers: Mapping[bytes, bytes], body: bytes) -> Refusal | None:
        """Why the delivery is not taken; None when it is. A configured secret is never waived by `allow_unsigned`."""
        content_type = headers.get(b"content-type", b"")
        if content_type != b"application/json" and not _is_json(content_type):
            return _WRONG_TYPE
        if not self._keys:
            return None if self._allow_unsigned else _NOT_ALLOWED
        given = _v1_parts(headers.get(b"circleci-signature", b""))
        if not given:
            return _MISSING
        for key in self._keys:
            expected = hmac.digest(key, body, "sha256").hex().encode()
            for part in given:
                if hmac.compare_digest(expected, part):
                    return None
        return _MISMATCH

    def event_type(self, headers: Mapping[bytes, bytes]) -> str:
        """What the header calls the delivery; empty where there is no header."""
        return headers.get(b"circleci-event-type", b"")[:_MAX_EVENT_TYPE].decode("latin-1").strip()


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _v1_parts(header: bytes) -> list[bytes]:
    """Values of version 1, the highest known one; parts that make no sense are passed over."""
    found = []
    for part in header.split(b","):
        version, equals, value = part.partition(b"=")
        if equals and version.strip() == b"v1":
            found.append(value.strip())
    return found[:_MAX_PARTS]
