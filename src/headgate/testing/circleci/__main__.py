"""The command line of the twin: `python -m headgate.testing.circleci --port N …`.

Invariant: one line of JSON, `{"event":"ready","port":N}`, goes to stderr once the twin answers.
"""

import argparse
import gc
import json
import signal
import sys
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, NoReturn

from headgate.testing.circleci.clock import last_full_hour_ms, real_now_ms
from headgate.testing.circleci.http import read_object
from headgate.testing.circleci.knobs import Knobs, Options
from headgate.testing.circleci.server import TwinServer
from headgate.testing.circleci.times import parse

SERVER_RATE_LIMIT, SERVER_BURST = 150.0, 300.0  # per second, and at once, that CircleCI Server allows a user


def parser() -> argparse.ArgumentParser:
    """Describe the options."""
    made = argparse.ArgumentParser(prog="python -m headgate.testing.circleci", description="A twin of CircleCI.")
    made.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--days", type=int, default=30, help="length of the history")
    made.add_argument("--projects", type=int, default=4)
    made.add_argument("--runs-per-day", type=float, default=20.0, help="pipelines per project and day")
    made.add_argument("--rate-limit", default=None, metavar="N|off", help="requests per second and token")
    made.add_argument("--mode", choices=("cloud", "server"), default="cloud")
    made.add_argument("--token", default="twin-token")
    made.add_argument("--rights", default="{}", metavar="JSON", help="other tokens and what each may do")
    made.add_argument("--webhook-url")
    made.add_argument("--webhook-secret")
    made.add_argument("--webhook-tries", type=int, default=3)
    made.add_argument("--now", help="the twin's time at the start; default: the last full hour, live: now")
    made.add_argument("--live", action="store_true", help="let the clock run")
    made.add_argument("--speed", type=float, default=1.0, help="twin seconds per real second, with --live")
    made.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="see docs/twin.md")
    return made


def options_from(given: argparse.Namespace) -> Options:
    """Make the options of what was typed. Raises ValueError naming what is wrong."""
    start = real_now_ms() if given.live else last_full_hour_ms()
    limit = given.rate_limit or (str(SERVER_RATE_LIMIT) if given.mode == "server" else "off")
    if not 0 < given.projects <= 4096:
        raise ValueError("--projects must be 1 to 4096")
    if given.days < 1:
        raise ValueError("--days must be 1 or more")
    if limit != "off" and float(limit) <= 0:
        raise ValueError("--rate-limit must be positive, or off")
    return Options(
        now_ms=parse(given.now) if given.now else start,
        seed=given.seed,
        days=given.days,
        projects=given.projects,
        runs_per_day=given.runs_per_day,
        token=given.token,
        rate_limit=None if limit == "off" else float(limit),
        rate_burst=SERVER_BURST if given.mode == "server" and given.rate_limit is None else None,
        rights=rights_from(given.rights),
        mode=given.mode,
        webhook_url=given.webhook_url,
        webhook_secret=given.webhook_secret,
        webhook_tries=given.webhook_tries,
        live=given.live,
        speed=given.speed,
        knobs=knobs_from(given.knob),
    )


def rights_from(text: str) -> dict[str, Any]:
    """Read the grants. Raises ValueError unless they are an object."""
    read = read_object(text.encode())
    if read is None:
        raise ValueError("--rights must be a JSON object: {token: {lacks, orgs, ...}}")
    return read


def knobs_from(texts: list[str]) -> Knobs:
    """Read `NAME=VALUE` texts. Raises ValueError for an unknown name or a value of the wrong type."""
    knobs = Knobs()
    known = {field.name for field in fields(Knobs)}
    for text in texts:
        name, _, value = text.partition("=")
        name = name.replace("-", "_")
        if name not in known:
            raise ValueError(f"unknown knob {name!r}; known: {', '.join(sorted(known))}")
        kind = type(getattr(knobs, name))
        knobs = replace(knobs, **{name: value.lower() in {"1", "true", "yes", "on"} if kind is bool else kind(value)})
    return knobs


def main(arguments: list[str] | None = None) -> int:
    """Run until TERM or INT; give the exit code."""
    given = parser().parse_args(arguments)
    try:
        server = TwinServer(options_from(given), given.port, _say_ready)
    except (OSError, ValueError) as exc:
        sys.stderr.write(f"cannot start: {exc}\n")
        return 2
    gc.freeze()  # the history stays; collecting it over and over would cost a pause each
    signal.signal(signal.SIGTERM, _leave)
    with suppress(KeyboardInterrupt):
        server.run_until_stopped()
    return 0


def _leave(_number: int, _frame: object) -> NoReturn:
    """End with 0: being told to stop is no failure."""
    raise SystemExit(0)


def _say_ready(port: int) -> None:
    sys.stderr.write(json.dumps({"event": "ready", "port": port}, separators=(",", ":")) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
