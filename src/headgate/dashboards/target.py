"""A target: the product that dashboards are written for. One module each, with `TARGETS`.

Invariant: rendering is pure and needs neither network nor credentials; only what `push` yields is ever sent.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import headgate.dashboards
from headgate.core.ports import HttpReply, HttpRequest

__all__ = ["Asked", "Files", "Localise", "Push", "Talk", "Target", "failed", "targets"]

# File name -> contents, sorted by name; the same code gives the same bytes.
Files = Mapping[str, bytes]
# Address, values of the target's environment variables, file name and contents -> the conversation that creates or
# replaces it there: requests out, answers in, and at its end what went wrong, blank when nothing did. None for a file
# that is loaded by hand.
Talk = Generator[HttpRequest, HttpReply, str]
Push = Callable[[str, Mapping[str, str], str, bytes], Talk | None]
# Rendered files and the environment -> the files to write.
Localise = Callable[[Files, Mapping[str, str]], Files]


def failed(reply: HttpReply) -> str:
    """Why a request failed, as its answer's status says; blank where it did not."""
    if reply.status < 300:
        return ""
    return f"answered {reply.status}: {reply.text(300)}"


def _unchanged(files: Files, _environment: Mapping[str, str]) -> Files:
    return files


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a file, for checks: whose it is, and the question that it puts."""

    title: str
    query: str


@dataclass(frozen=True, slots=True)
class Target:
    """`name`: what commands call it. `sink`: type of the sink whose data it shows, empty for our own API.

    `render`: the files. `queries`: every query in them. `environment`: variables that hold the credentials of a push.
    `push`: how one file gets there over the product's API. `localise`: what an export puts into the files from the
    environment, if anything; files that are pushed are the rendered ones.
    """

    name: str
    sink: str
    render: Callable[[], Files]
    queries: Callable[[], list[Asked]]
    environment: tuple[str, ...]
    push: Push
    localise: Localise = _unchanged


def targets() -> dict[str, Target]:
    """Every target by name, found by module scan, sorted."""
    found: dict[str, Target] = {}
    for info in pkgutil.iter_modules(headgate.dashboards.__path__):
        module = importlib.import_module(f"headgate.dashboards.{info.name}")
        found |= {target.name: target for target in getattr(module, "TARGETS", ())}
    return dict(sorted(found.items()))
