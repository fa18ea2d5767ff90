"""The same server storing nothing: uvicorn, httptools, uvloop, a bare ASGI handler that reads, verifies, answers.

`--no-verify` leaves the signature out. Prints its port on stdout.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import sys
from typing import Any

import uvicorn

_ANSWER = b'{"id":"0"}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())]


def make_app(secret: bytes | None) -> Any:
    """The handler; None as secret skips the signature."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if secret is not None:
            given = dict(scope["headers"]).get(b"circleci-signature", b"")[3:]
            if not hmac.compare_digest(hmac.new(secret, body, hashlib.sha256).hexdigest().encode(), given):
                raise SystemExit("wrong signature")
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ANSWER})

    return app


def main() -> None:
    """Serve on a free port of loopback until killed."""
    secret = None if "--no-verify" in sys.argv else sys.argv[1].encode()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)
    config = uvicorn.Config(
        make_app(secret), loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False
    )
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
