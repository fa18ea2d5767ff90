"""Alerts as the engine stores them, over the runs of `world`."""

import msgspec
from tests.unit.insights.world import DAY, HOUR, NOW

from headgate.core.alertdata import Alert, AlertState, Told, encode_alert
from headgate.core.evidence import Evidence, Grew
from headgate.core.storeport import AlertChange, AlertRow

FINGERPRINT = "a1" * 32
LABELS = {"project": "gh/acme/web", "severity": "critical", "workflow": "build"}
GROUP = {"project": "gh/acme/web", "workflow": "build"}
WATCHED = Evidence(
    kind="threshold",
    metric="success_rate",
    over="workflow",
    group=GROUP,
    where=(("branch_class", "=", "@default"),),
    window_ms=2 * DAY,
    limits={"warning": 0.7, "recovers": 0.85},
    first_bad="00000000-0000-4000-8000-000100000003",
    first_bad_ms=NOW - 5 * HOUR,
    first_bad_url="https://app.circleci.com/x",
    suspects=("c0ffee" * 6,),
    last_good="https://app.circleci.com/good",
    grew=(Grew("test", 60.0, 90.0, 0.75),),
)


def line(was, became, **more):
    """A line of history of the rule Red."""
    base = {"who": "engine", "rule": "Red", "labels": LABELS, "from": was, "to": became, "why": "breach"}
    return msgspec.json.encode(base | {"value": 0.5, "n": 20, "at_ms": NOW - HOUR} | more)


def fired(evidence=WATCHED, rule="Red", labels=LABELS, **fields):
    """The change that makes an alert which fires since two hours ago, told to the pager an hour ago."""
    of = {"since_ms": NOW - 2 * HOUR, "fired_ms": NOW - 2 * HOUR, "at_ms": NOW, "value": 0.5, "n": 20}
    alert = Alert(
        born_ms=NOW - 3 * HOUR,
        state=AlertState.FIRING,
        level=1,
        told=1,
        receivers={"pager": Told(1, NOW - HOUR)},
        first_bad=evidence.first_bad,
        **(of | fields),
    )
    moved = {"rule": rule, "labels": labels}
    history = [
        (FINGERPRINT, NOW - 3 * HOUR, line("inactive", "pending", evidence=evidence, **moved)),
        (FINGERPRINT, NOW - 2 * HOUR, line("pending", "firing", **moved)),
        (FINGERPRINT, NOW - HOUR, line("firing", "firing", told=["pager"], **moved)),
    ]
    row = AlertRow(FINGERPRINT, rule, labels, "firing", encode_alert(alert), NOW)
    return AlertChange(rows=[row], history=history)
