"""`headgate alerts`: list, ack, and silences."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from headgate.cli.output import ConfigOption, JsonOption, moment_ms, print_json, print_table
from headgate.cli.session import answer
from headgate.core.clock import SystemClock
from headgate.web.operations import Json, NewSilence

__all__ = ["group"]

group = typer.Typer()
_silence = typer.Typer()
group.add_typer(_silence, name="silence", help="What is not told for a while.", no_args_is_help=True)

By = Annotated[str, typer.Option("--by", help="Who you are.")]
Why = Annotated[str, typer.Option("--comment", "-m", help="Why.")]


class Worth(StrEnum):
    """What an alert was worth."""

    GOOD = "good"
    NOISE = "noise"
    NEW_NORMAL = "new_normal"


@group.command("list")
def list_alerts(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List alerts that are pending, firing, recovering, or were resolved within a day."""
    found = answer(config, lambda ask: ask.alerts())
    if json:
        for one in found:
            print_json(one)
        return
    rows = [
        (one["state"], one["rule"], _labels(one), one["since"], _telling(one), one["fingerprint"][:12]) for one in found
    ]
    print_table(("State", "Rule", "Labels", "Since", "Told", "Fingerprint"), rows, empty="No alert.")


def _labels(one: Json) -> str:
    return " ".join(f"{key}={value}" for key, value in one["labels"].items())


def _telling(one: Json) -> str:
    """Who knows, who does not and why."""
    waiting = one["waiting"]
    parts = [
        f"{name} ({f'waits: {waiting[name]}' if waiting[name] else 'waits'})" if name in waiting else name
        for name in sorted({*one["receivers"], *waiting})
    ]
    parts += (f"not {name}: {why}" for name, why in one["held"].items())
    if one["acknowledged"]:
        parts.append(f"seen by {one['acknowledged']['by']}")
    return ", ".join(parts)


@group.command("ack")
def ack(
    *,
    fingerprint: Annotated[str, typer.Argument(help="Fingerprint of a firing alert; its beginning is enough.")],
    by: By,
    comment: Why,
    verdict: Annotated[
        Worth | None, typer.Option("--verdict", help="What it was worth; new_normal also moves the baseline.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say that somebody has seen a firing alert: nobody is reminded of it any more."""
    found = answer(config, lambda ask: ask.acknowledge(fingerprint, by=by, comment=comment, verdict=verdict or ""))
    print_json(found) if json else print(f"{found['rule']} {_labels(found)} is acknowledged")


@_silence.command("add")
def add(
    *,
    matchers: Annotated[list[str], typer.Argument(help="All must hold: team=web, branch!=main, job=~lint.*")],
    lasting: Annotated[str | None, typer.Option("--for", help="How long: 2h, 7d.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="End: 2026-11-30 or RFC 3339.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Begin, unless now: 2026-11-30 or RFC 3339.")] = None,
    author: Annotated[str, typer.Option("--author", help="Who you are.")],
    comment: Why,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell nobody that alerts with these labels fire, for a while. Their states go on."""
    clock = SystemClock()
    if (lasting is None) == (until is None):
        raise typer.BadParameter("say how long with --for, or when it ends with --until")
    starts_ms = clock.now_ms() if start is None else moment_ms(start, clock)
    ends_ms = moment_ms(until, clock) if until is not None else starts_ms + _length_ms(lasting or "")
    wanted = NewSilence(tuple(matchers), starts_ms, ends_ms, author, comment)
    _print(answer(config, lambda ask: ask.silence(wanted)), json)


def _length_ms(text: str) -> int:
    from headgate.plugins.config import parse_duration

    try:
        return parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


@_silence.command("list")
def list_silences(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List silences: those that hold first, then those to come, then the newest that ended."""
    found = answer(config, lambda ask: ask.silences())
    if json:
        for one in found:
            print_json(one)
        return
    rows = [
        (
            one["id"],
            one["state"],
            " ".join(one["matchers"]),
            one["starts_at"],
            one["ends_at"],
            one["author"],
            one["comment"],
        )
        for one in found
    ]
    print_table(("Id", "State", "Matchers", "From", "Until", "Author", "Comment"), rows, empty="No silence.")


@_silence.command("expire")
def expire(
    *,
    number: Annotated[int, typer.Argument(help="Number of the silence.", min=1)],
    by: By,
    comment: Why,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End a silence now. What still fires is told."""
    _print(answer(config, lambda ask: ask.expire_silence(number, by=by, comment=comment)), json)


def _print(one: Json, json: bool) -> None:
    if json:
        print_json(one)
    else:
        print(f"silence {one['id']} is {one['state']}, from {one['starts_at']} until {one['ends_at']}")
