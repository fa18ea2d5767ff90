"""A small file beside the store that says which process serves it and where, so that commands find the daemon.

Invariant: written whole or not at all, readable by its owner only; a file whose process is gone counts as absent.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import msgspec

__all__ = ["Running", "find_running", "forget_running", "trust_of", "write_running"]


class Running(msgspec.Struct, frozen=True):
    """The daemon that serves a store. `http`: base address of its API.

    `token`: opens the API for commands, until the daemon ends; `certificate`: what the API shows, PEM, empty without
    TLS.
    """

    pid: int
    http: str
    webhooks: str
    token: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    store: Path

    @property
    def path(self) -> Path:
        return self.store.with_name(self.store.name + ".daemon.json")


def write_running(store: Path, running: Running) -> None:
    """Say that this process serves the store."""
    path = _Place(store).path
    draft = path.with_name(f"{path.name}.{running.pid}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(msgspec.json.encode(running))
    draft.replace(path)


def forget_running(store: Path) -> None:
    """Take the file away."""
    _Place(store).path.unlink(missing_ok=True)


def find_running(store: Path) -> Running | None:
    """The daemon that serves this store, or None."""
    try:
        running = msgspec.json.decode(_Place(store).path.read_bytes(), type=Running)
        os.kill(running.pid, 0)
    except (OSError, msgspec.DecodeError, OverflowError) as exc:
        # Not ours to signal means that it runs under another user.
        return running if isinstance(exc, PermissionError) and "running" in locals() else None
    return running


def trust_of(certificate: str) -> ssl.SSLContext:
    """Trust the very certificate that the daemon said it shows, whatever name that has, and no other."""
    context = ssl.create_default_context(cadata=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
