"""`headgate dashboards`: files for Grafana, Kibana and the others, written to a folder or sent to the product."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.output import JsonOption, note, print_json
from headgate.core.errors import ConfigError
from headgate.core.ports import HttpReply
from headgate.core.redact import Redactor
from headgate.dashboards.target import Talk, Target, targets

if TYPE_CHECKING:
    import httpx

__all__ = ["group"]

group = typer.Typer()

_SECONDS = 30.0
_Names = Annotated[list[str] | None, typer.Argument(help="Targets; none: all.", show_default=False)]


def _chosen(names: list[str] | None) -> list[Target]:
    known = targets()
    if unknown := [name for name in names or () if name not in known]:
        raise ConfigError(f"{unknown[0]}: no such target; there are {', '.join(known)}")
    return [known[name] for name in names or known]


@group.command("export")
def export(
    names: _Names = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to write to; each target gets one of its own.")] = Path(
        "dashboards"
    ),
    json: JsonOption = False,
) -> None:
    """Write the files; what stands there under the same names is replaced."""
    for target in _chosen(names):
        folder = to / target.name
        files = target.localise(target.render(), os.environ)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, contents in files.items():
                (folder / name).write_bytes(contents)
        except OSError as exc:
            raise ConfigError(f"{folder}: {exc.strerror}; choose another folder with --to") from exc
        if json:
            print_json({"target": target.name, "folder": str(folder), "files": sorted(files)})
        else:
            print(f"{folder}: {len(files)} files")


@group.command("push")
def push(
    name: Annotated[str, typer.Argument(help="Target.")],
    url: Annotated[str, typer.Option("--url", help="Base address of the product's API, such as https://grafana:3000.")],
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="PEM file of a private authority.")] = None,
    json: JsonOption = False,
) -> None:
    """Create or replace the dashboards there. Credentials come from the environment variables of the target."""
    import httpx

    (target,) = _chosen([name])
    if missing := [variable for variable in target.environment if not os.environ.get(variable)]:
        raise ConfigError(f"{name}: set the environment variable {' and '.join(missing)}")
    credentials = {variable: os.environ[variable] for variable in target.environment}
    clean, wrong = Redactor(credentials.values()), 0
    try:
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
    except OSError as exc:
        raise ConfigError(f"--ca-file {ca_file}: {exc.strerror or exc}") from exc
    with httpx.Client(verify=verify, timeout=_SECONDS, trust_env=True) as client:
        for file, contents in target.render().items():
            talk = target.push(url.rstrip("/"), credentials, file, contents)
            problem = _plain(clean(_end_of(client, talk))) if talk else "is loaded by hand; see the page of the sink"
            wrong += bool(talk and problem)
            if json:
                print_json({"target": name, "file": file, "sent": talk is not None, "problem": problem})
            else:
                print(f"{file}: {problem or 'ok'}")
    if wrong:
        note(f"{wrong} files were not taken; check the address and the rights of the key")
        raise typer.Exit(1)


def _plain(words: str) -> str:
    """Of an outsider, on one line of a terminal and without what would change it."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(words.split()))


def _end_of(client: httpx.Client, talk: Talk) -> str:
    """Send what a conversation asks for until it ends; what went wrong, blank when nothing did."""
    import httpx

    try:
        request = next(talk)
        while True:
            reply = client.request(request.method, request.url, headers=list(request.headers), content=request.body)
            headers = {key.lower(): value for key, value in reply.headers.items()}
            request = talk.send(HttpReply(reply.status_code, headers, reply.content))
    except StopIteration as end:
        return str(end.value)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return str(exc) or type(exc).__name__
