"""`python -m headgate.app.ready STORE`: whether the daemon of this store is ready, as a container's health check asks.

Invariant: it is asked every few seconds, so it reads no configuration and imports little; where the daemon listens, and
which certificate it shows, stands beside the store.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from headgate.app.runtimefile import find_running, trust_of

__all__ = ["is_ready"]

_SECONDS = 2.0


def is_ready(store: Path) -> bool:
    """Whether a daemon serves this store and says at /readyz that it does; over TLS with its own certificate alone."""
    running = find_running(store)
    if running is None:
        return False
    at = urlsplit(running.http)
    if at.hostname is None:
        return False
    try:
        connection = (
            HTTPSConnection(at.hostname, at.port, timeout=_SECONDS, context=trust_of(running.certificate))
            if at.scheme == "https"
            else HTTPConnection(at.hostname, at.port, timeout=_SECONDS)
        )
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()
    except (OSError, HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(Path(sys.argv[1])) else 1)
