"""What a plugin's options say of certificates, as httpx takes it. Reads files; talks to nobody."""

from __future__ import annotations

import ssl

from headgate.core.ports import TransportOptions

__all__ = ["verification"]


def verification(options: TransportOptions) -> ssl.SSLContext | bool:
    """The private authority alone where there is one, else whether to verify at all.

    Reading certificates takes tens of milliseconds. Raises OSError for a file that cannot be used.
    """
    if options.verify and options.ca_file:
        return ssl.create_default_context(cafile=options.ca_file)
    return options.verify
