"""The command line. Owns words, flags, output and exit codes; every command does its work through `headgate.app`.

Exit codes: 0 done, 1 found a problem, 2 wrong usage or configuration, 3 the store cannot be used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Commands are imported here so that importing headgate stays cheap."""
    from headgate.cli.application import run_command

    return run_command(sys.argv[1:] if arguments is None else list(arguments))
