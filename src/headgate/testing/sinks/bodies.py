"""Reading request bodies as strictly as the vendors do: size, encoding, credentials."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING
from zlib import MAX_WBITS

if TYPE_CHECKING:
    import zlib as inflate

    from headgate.testing.sinks.wire import Reply, Request
else:
    try:  # twice as fast, so that a benchmark measures the sender
        from isal import isal_zlib as inflate
    except ImportError:
        import zlib as inflate

INFLATE_BITS = {"gzip": MAX_WBITS | 16, "deflate": -MAX_WBITS, "zlib": MAX_WBITS}
"""Window argument per encoding; `deflate` is the raw stream that Go's compress/flate reads."""


class BodyRefusedError(Exception):
    """The request was refused before its records were looked at; `reply` is the vendor's answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class UnreadableBodyError(ValueError):
    """The body is not what its content encoding says."""


class OversizedBodyError(ValueError):
    """The unpacked body is over the limit."""


def unpack(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return the unpacked body; `encoding` is a key of INFLATE_BITS or empty.

    Raises UnreadableBodyError for a broken or unfinished stream, OversizedBodyError past `limit_bytes`.
    """
    if not encoding:
        data = body
    else:
        reader = inflate.decompressobj(INFLATE_BITS[encoding])
        try:
            data = reader.decompress(body, limit_bytes + 1)
        except inflate.error as error:
            raise UnreadableBodyError(str(error)) from error
        if not reader.eof and len(data) <= limit_bytes:
            raise UnreadableBodyError("unexpected EOF")
    if len(data) > limit_bytes:
        raise OversizedBodyError(f"body is over {limit_bytes} bytes")
    return data


def media_type(request: Request) -> str:
    """Return the content type without parameters, lower case, empty when there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def basic_credentials(user_password: str) -> str:
    """Return the Authorization header of `user:password`."""
    return "Basic " + base64.b64encode(user_password.encode()).decode()


def authorized(given: str, *, api_key: str | None, basic: str | None, bearer: str | None) -> bool:
    """Whether an Authorization header is one of those that are set; any is, where none is set."""
    wanted = [
        f"ApiKey {api_key}" if api_key else "",
        basic_credentials(basic) if basic else "",
        f"Bearer {bearer}" if bearer else "",
    ]
    return not any(wanted) or any(one and same(given, one) for one in wanted)


def same(given: str, wanted: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def signature(secret: str, body: bytes, timestamp: str = "") -> str:
    """Return `v1=` and the hexadecimal HMAC-SHA256 of the body as sent.

    With a timestamp (text of its header) the signed bytes are `<timestamp>.<body>`.
    """
    signed = f"{timestamp}.".encode() + body if timestamp else body
    return "v1=" + hmac.new(secret.encode(), signed, sha256).hexdigest()
