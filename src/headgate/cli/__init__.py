"""The command line. Owns words, flags, output and exit codes; every command does its work through `headgate.app`.

Exit codes: 0 done, 1 found a problem, 2 wrong usage or configuration, 3 the store cannot be used.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

__all__ = ["COLLECT", "main"]

# How much is made before the interpreter looks for cycles. Ours are few, while loading modules and answers over many
# sums make much: at ten million jobs the overview takes a fifth less time than by the usual (700, 10, 10), and loading
# a tenth, for a few MB.
COLLECT = (50_000, 20, 20)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Commands are imported here so that importing headgate stays cheap."""
    gc.set_threshold(*COLLECT)
    from headgate.cli.application import run_command

    return run_command(sys.argv[1:] if arguments is None else list(arguments))
