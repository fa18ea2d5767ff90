"""What a plugin's options say of certificates, checked at load, and as httpx takes it. Reads files; talks to nobody."""

from __future__ import annotations

import ssl
from typing import Annotated

from pydantic import AfterValidator

from headgate.core.ports import TransportOptions

__all__ = ["CaFile", "verification"]


def _authorities(path: str) -> str:
    """Read a file of certificates once, so that a wrong path is known before anything is sent."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise ValueError(
            f"{path} holds no certificate in PEM form; give a file with a line `-----BEGIN CERTIFICATE-----`"
        ) from exc
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ValueError(f"{path} cannot be read: {why}; give the path of a PEM file that we may read") from exc
    return path


# A file of certificates that could be read when the configuration was.
CaFile = Annotated[str, AfterValidator(_authorities)]


def verification(options: TransportOptions) -> ssl.SSLContext | bool:
    """The private authority alone where there is one, else whether to verify at all.

    Reading certificates takes tens of milliseconds. Raises OSError for a file that cannot be used.
    """
    if options.verify and options.ca_file:
        return ssl.create_default_context(cafile=options.ca_file)
    return options.verify
