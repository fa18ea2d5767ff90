"""`headgate audit` and `headgate backfill`: what they print and how they exit, whoever does the work."""

from __future__ import annotations

from typing import Self

import pytest

from headgate.cli.application import run_command
from headgate.web.operations import Order

KNOWN = "no collected project matches; there is: gh/acme/web"
TALLY = {"expected": 3, "present": 3, "repaired": 0, "unrepairable": 0, "unannounced": 0}


def _made(source: str, **more: object) -> dict[str, object]:
    """A request as it is listed when it is done."""
    common = {"source": source, "id": "r1", "state": "done", "since": "", "until": "", "orgs": [], "unmatched": {}}
    history = {"strategy": "", "share": 1.0, "calls": 0, "observations": 0, "seconds_left": None, "problems_more": 0}
    return {**common, **history, "problems": {}, "projects": {}, "trouble": None, "waits_for": None, **more}


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """Sets what the running daemon lists in turn; gives the words that name its configuration."""
    config = tmp_path / "headgate.yaml"
    config.write_text(f"version: 1\nstore: {{url: sqlite://{tmp_path}/h.db}}\n", encoding="utf-8")

    def answer(command: str, *lists: list[dict[str, object]]) -> int:
        looks = iter(lists)

        async def ordered(_configuration: object, _order: Order, _ask: object) -> tuple[list[dict[str, object]], bool]:
            return lists[-1], True

        class Asked:
            async def audits(self) -> list[dict[str, object]]:
                return next(looks)

            backfills = audits

            async def __aenter__(self) -> Self:
                return self

            async def __aexit__(self, *_error: object) -> None:
                """Nothing is open."""

        monkeypatch.setattr(f"headgate.cli.{command}.ordered", ordered)
        monkeypatch.setattr("headgate.cli.orders.operations", lambda _configuration: Asked())
        monkeypatch.setattr("headgate.cli.orders._LOOK_SECONDS", 0.0)
        return run_command([command, "--since", "1d", "-c", str(config)])

    return answer


@pytest.mark.parametrize("command", ["audit", "backfill"])
def test_what_was_looked_at_nowhere_is_no_success(capsys, answered, command):
    """A word that no source has a project of ends with 1 and says what there is; one that some source has does not."""
    lost = _made("ci", unmatched={"gh/acme/wbe": KNOWN})
    assert answered(command, [lost]) == 1
    assert f"ci: gh/acme/wbe: {KNOWN}" in capsys.readouterr().err
    found = _made("other", projects={"gh/acme/wbe": TALLY})
    assert answered(command, [lost, found]) == 0
    assert "no collected project" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["audit", "backfill"])
def test_why_it_waits_is_said(capsys, answered, command):
    """Rather than the same figures without an end."""
    why = "ci takes no call of ours now (token_expired)"
    assert answered(command, [_made("ci", state="waiting", waits_for=why)], [_made("ci")]) == 0
    assert why in capsys.readouterr().err


def test_problems_that_are_not_named_are_counted(capsys, answered):
    """A list that is cut says so."""
    assert answered("backfill", [_made("ci", problems=["export of gh/acme: gone"], problems_more=7)]) == 1
    assert "ci: and 7 more problems" in capsys.readouterr().err
