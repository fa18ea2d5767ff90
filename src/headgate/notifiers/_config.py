"""What every notifier over HTTP lets people configure, and the address check they share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from headgate.core.ports import TransportOptions
from headgate.plugins.config import Duration, PluginConfig, Secret, duration_field, reveal
from headgate.plugins.tls import CaFile

__all__ = [
    "HeaderSecret",
    "HttpNotifierConfig",
    "HttpUrl",
    "SecretUrl",
    "header_key",
    "header_problem",
    "without_secrets",
]

_PRINTABLE = "".join(map(chr, range(ord(" "), ord("~") + 1)))


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address: write http:// or https:// and a host")
    return text


def _secret_url(secret: SecretStr) -> SecretStr:
    _http_url(reveal(secret))
    return secret


HttpUrl = Annotated[str, AfterValidator(_http_url)]
# Whoever knows such an address can post to it: path and query carry tokens.
SecretUrl = Annotated[Secret, AfterValidator(_secret_url)]


def _sendable(secret: SecretStr) -> SecretStr:
    if not _fits(reveal(secret)):
        raise ValueError("holds characters that no header takes: it must be printable ASCII")
    return secret


def _fits(value: str) -> bool:
    return value.isascii() and value.isprintable()


# What is sent in a header.
HeaderSecret = Annotated[Secret, AfterValidator(_sendable)]


def header_key(key: str) -> str:
    """A message's key as a header can hold it: what is not printable ASCII is percent-encoded, the rest as it is."""
    return quote(key, safe=_PRINTABLE)


def header_problem(name: str, value: str) -> str | None:
    """Why a header cannot be sent, None when it can."""
    if not name or not name.isascii() or any(c in name for c in "\r\n: \t"):
        return f"{name!r} is not a header name"
    return None if _fits(value) else f"the value of {name} is not printable ASCII"


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The far side's words, should it repeat one of our secrets in them."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


class HttpNotifierConfig(PluginConfig):
    """How a notifier's connections are made."""

    timeout: Duration = duration_field("10s", "How long one request may take.")
    ca_file: CaFile | None = Field(default=None, description="PEM file of a private certificate authority.")
    proxy: Secret | None = Field(default=None, description="Address of an HTTP proxy; it may hold a password.")
    verify: bool = Field(default=True, description="Check TLS certificates.")

    def transport(self) -> TransportOptions:
        """The options as the engine's transport takes them."""
        return TransportOptions(self.ca_file, reveal(self.proxy) or None, self.verify)
