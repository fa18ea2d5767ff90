"""What `headgate demo` prints: coloured on a terminal, plain lines elsewhere. Owns words only."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from headgate.web.operations import Json

__all__ = ["Show"]


class Show:
    """The narrator."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False, soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        """One line."""
        self._console.print(Text(text, style=style))

    def begin(self, directory: Path, days: int, projects: int) -> None:
        """Before anything has started."""
        self.line("Headgate demo: no token, no network.", "bold")
        self.line(f"Making {days} days of {projects} projects; store and records are in {directory}")

    def ready(self, urls: tuple[str, str], twin: str, file: Path) -> None:
        """Where to look."""
        self.line(f"Page        {urls[0]}/", "bold green")
        self.line(f"API         {urls[0]}/api/v1/status   metrics {urls[0]}/metrics")
        self.line(f"Webhooks    {urls[1]}/webhooks/circleci, signed, sent by the twin")
        self.line(f"Twin        {twin}/_twin/truth says what really happened")
        self.line(f"Try         headgate status -c {file}")
        self.line(f"            headgate tail -c {file} --follow")
        self.line(
            "Eight troubles are planted, the worst on the default branch of the first project: watch for its alert."
        )

    def collected(self, days: int, overview: Json) -> None:
        """The past is there."""
        ended = {kind: sum(words.values()) for kind, words in overview["ended"].items()}
        calls = sum(source["calls"] for source in overview["status"]["sources"].values())
        self.line(
            f"All {days} days are collected: {ended.get('workflow', 0)} workflows and {ended.get('job', 0)} jobs"
            f" with {calls} API calls.",
            "bold",
        )

    def figures(self, overview: Json) -> None:
        """How it goes."""
        status, ended = overview["status"], overview["ended"]
        totals = {kind: sum(ended.get(kind, {}).values()) for kind in ("workflow", "job")}
        accepted = status["sinks"]["records"]["signals"]["lines"]["accepted"]
        calls = sum(source["calls"] for source in status["sources"].values())
        self.line(
            f"{totals['workflow']} workflows and {totals['job']} jobs ended, {accepted} records in records.jsonl, "
            f"{status['inbox']['waiting']} webhooks to merge, {calls} API calls"
        )

    def alert(self, state: str, summary: str) -> None:
        """The pager rings."""
        self.line(f"ALERT {state}: {summary}", "bold red" if state == "firing" else "bold green")

    def truth(self, differences: list[str]) -> None:
        """Whether the counters are right."""
        if differences:
            for difference in differences:
                self.line(f"The twin disagrees: {difference}", "yellow")
        else:
            self.line("The counters equal what really happened, says the twin.", "bold green")

    def end(self, kept: Path | None) -> None:
        """Good-bye."""
        self.line(f"Stopped; everything is kept in {kept}" if kept else "Stopped; nothing is left behind.")
