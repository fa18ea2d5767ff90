"""A request, its answer and how connections are made, as data: what sinks and notifiers say to the one transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["HttpReply", "HttpRequest", "TransportOptions"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that the engine's transport sends. `headers`: name and value. `gzip`: compress the body on the way."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    gzip: bool = False
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer. `headers`: lower-case names. `body`: at most 10 MB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self, limit: int = 2000) -> str:
        """The start of the body as text, for messages and dead letters."""
        return self.body[:limit].decode("utf-8", "replace").strip()


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How a signal's connections are made. `ca_file`: PEM of a private CA. `proxy`: URL. `verify`: TLS verification."""

    ca_file: str | None = None
    proxy: str | None = None
    verify: bool = True
