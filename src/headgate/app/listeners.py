"""What no section alone can say about listeners: who reaches them, and over what.

Invariant: a listener that other machines reach is not open to all.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headgate.app.access import MIN_TOKEN, access_of, server_context
from headgate.app.configfile import Origins, read_text
from headgate.app.sections import HttpSettings, WebhookSettings, is_loopback, split_address

__all__ = ["certificate_of", "contexts_of", "lacks_access", "listener_problems", "readable_access"]

_ACCESS = "http.access"
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def lacks_access(unread: Mapping[str, str]) -> bool:
    """Whether a secret of `http.access` could not be read, where the work can do without."""
    return any(part.startswith(_ACCESS) for part in unread)


def readable_access(access: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `http.access` whose secrets could be read; the others are blank, or what stands around them."""
    told = [(one, one.get("token") if isinstance(one, dict) else one) for one in access.get("tokens") or ()]
    tokens = [one for one, text in told if len(str(text or "")) >= MIN_TOKEN]
    users = access.get("basic") or {}
    basic = {name: one for name, one in users.items() if isinstance(one, dict) and any(map(one.get, _PASSWORDS))}
    return {**access, "tokens": tokens, "basic": basic}


_PASSWORDS = ("password", "password_hash")


def listener_problems(
    http: HttpSettings, webhooks: WebhookSettings, origins: Origins, unread: Mapping[str, str]
) -> list[str]:
    """What is wrong with the listeners together, a line each."""
    problems: list[str] = []
    host, _ = split_address(http.listen)
    is_open = access_of(http.access).is_open and not lacks_access(unread)
    if is_open and http.access.proxy is not None:
        problems.append(
            f"{origins.where(('http', 'access', 'proxy'))}: http.access.proxy: nobody has to log in; "
            "write role, or groups_header and groups, or set http.access.tokens or basic"
        )
    elif is_open and not is_loopback(host):
        problems.append(
            f"{origins.where(('http', 'listen'))}: http.listen: {host} is reachable from other machines; "
            "set http.access.tokens (or basic, or proxy), or listen on 127.0.0.1"
        )
    if http.listen == webhooks.listen and http.tls != webhooks.tls:
        where = origins.where(("webhooks", "tls"))
        problems.append(f"{where}: webhooks.tls: one listener has one certificate; write what http.tls says")
    return problems


def certificate_of(http: HttpSettings, base: Path) -> str:
    """The certificates that the API shows over TLS, PEM; empty without. Raises ConfigError where they cannot be read.

    Never the key, which may stand in the same file.
    """
    return "\n".join(_CERTIFICATE.findall(read_text(base / http.tls.cert))) if http.tls is not None else ""


def contexts_of(http: HttpSettings, webhooks: WebhookSettings, base: Path) -> dict[str, ssl.SSLContext]:
    """What listeners speak TLS with, by section; none for plain ones. Reads files. Raises ConfigError."""
    chosen = {"http": http.tls, "webhooks": webhooks.tls}
    return {name: server_context(one, base, f"{name}.tls") for name, one in chosen.items() if one is not None}
