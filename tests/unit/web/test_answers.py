"""Described answers are those that are made: every field of a view is in its model, with its type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import TypeAdapter

from headgate.alerting.listing import list_alerts
from headgate.alerting.silencing import list_silences
from headgate.app import views
from headgate.core.alertdata import Acknowledgement, AlertState, encode_alert, new_alert
from headgate.core.readport import AlertRow, DeadLetter, Explained, InboxRow, Replay
from headgate.core.runrows import RunRow
from headgate.core.silences import Silence
from headgate.testing.store_data import delivery
from headgate.web import answers, answers_facts

NOW = 1_795_000_000_000


def alerts() -> list[dict[str, Any]]:
    """One that fires and was seen."""
    seen = Acknowledgement(by="a", at_ms=NOW, comment="c", verdict="noise")
    fires = msgspec.structs.replace(
        new_alert(NOW), state=AlertState.FIRING, fired_ms=NOW, at_ms=NOW, value=0.5, n=3, acknowledged=seen
    )
    return list_alerts([AlertRow("f", "r", {"project": "p"}, "firing", encode_alert(fires), NOW)])


LETTER = DeadLetter(1, "s", 2, "r", "job", NOW, "p", "why", 400, 1, NOW, NOW, "no", False, b"{}")
FIELDS = {"name": ("n", "v2", NOW, True)}
FOUND = Explained("job", "j", "p", "r", True, NOW, FIELDS, b"{}", [b"{}"], "live", 1, {})
VIEWS: dict[str, tuple[Any, Any]] = {
    "alerts": (list[answers.AlertAnswer], alerts()),
    "dead deliveries": (answers.DeadDelivery, views.delivery_view(InboxRow(1, delivery(1), "dead", "malformed"))),
    "dead letters": (answers.DeadLetterAnswer, views.dead_letter_view(LETTER)),
    "explained": (answers_facts.ExplainedAnswer, views.explained_view(FOUND, {"s": "dead"})),
    "replays": (answers.ReplayAnswer, views.replay_view(Replay(1, "s", NOW, NOW, 3, 1))),
    "silences": (list[answers.SilenceAnswer], list_silences([Silence(1, ("a=b",), NOW, NOW, "a", "c")], NOW)),
    "runs": (answers.RunAnswer, views.run_view(RunRow("w", "p", "b", "r", 1, "success", NOW, None, "", None, ""))),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_description_is_true(name: str) -> None:
    """Every field has the type that is described, and none is made that is not described, nor the other way."""
    model, view = VIEWS[name]
    known = TypeAdapter(model).validate_python(view, strict=True)
    assert view == TypeAdapter(model).dump_python(known)
