"""`python -m headgate.testing.sinks NAME --port N`: one fake vendor as a process.

Prints one line of JSON on standard error once it serves, and stops on INT or TERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import signal
import sys
from typing import Any, get_type_hints

from headgate.testing.sinks.harness import fakes, front_door, real_clock_ms
from headgate.testing.sinks.ledger import Keep
from headgate.testing.sinks.wire import HttpServer


def parser() -> argparse.ArgumentParser:
    """Return the command line: one sub-command per fake, its options made from the options class."""
    root = argparse.ArgumentParser(prog="python -m headgate.testing.sinks", description=__doc__)
    names = root.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, fake in sorted(fakes().items()):
        sub = names.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        sub.add_argument("--host", default="127.0.0.1", help="address to listen on")
        sub.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
        sub.add_argument("--delay-ms", type=float, default=0, help="added to every answer")
        sub.add_argument("--seed", type=int, default=0, help="of the draws of an order's rate")
        sub.add_argument("--now-ms", type=int, help="a fixed clock instead of the real one")
        sub.add_argument("--keep", choices=[keep.value for keep in Keep], default="all", help="per record")
        sub.add_argument("--discard", action="store_const", const="none", dest="keep", help="only count")
        _add_options(sub, fake.options)
    return root


def _add_options(sub: argparse.ArgumentParser, options: type[Any]) -> None:
    hints = get_type_hints(options)
    for field in dataclasses.fields(options):
        flag = "--" + field.name.replace("_", "-")
        text = field.metadata.get("help", "")
        if hints[field.name] is bool:
            sub.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=text)
        else:
            kind = int if hints[field.name] is int else str
            sub.add_argument(flag, type=kind, default=field.default, help=text)


async def serve(arguments: dict[str, Any]) -> None:
    """Serve until INT or TERM."""
    host, port, now_ms = (arguments.pop(key) for key in ("host", "port", "now_ms"))
    clock = real_clock_ms if now_ms is None else lambda: int(now_ms)
    server = HttpServer(front_door(arguments.pop("name"), clock_ms=clock, **arguments))
    port = await server.start(host, port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    sys.stderr.write(f'{{"event":"ready","port":{port}}}\n')
    sys.stderr.flush()
    await stopped.wait()
    await server.stop()


def main() -> None:
    """Run the command; uvloop is used where it is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(vars(parser().parse_args())))


if __name__ == "__main__":
    main()
