"""What one answer means for records, gate, figures and log."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from tests.unit.deliver.fakes import BASE_MS, Figures, entry

from headgate.core.backoff import BackOff
from headgate.core.clock import ManualClock
from headgate.core.ports import Limits
from headgate.core.shaping import Shaped
from headgate.core.verdicts import Reject, SendResult
from headgate.deliver.calling import Answer
from headgate.deliver.gate import Gate, Hold
from headgate.deliver.lane import LaneQueue
from headgate.deliver.limits import SizeRatio
from headgate.deliver.parts import Parts, make_part
from headgate.deliver.settle import Settlement


class Desk:
    """A settlement with everything it touches, and one part in flight."""

    def __init__(self, *rows, lane="live"):
        self.gate, self.parts, self.figures, self.events = Gate(16), Parts(), Figures(), []
        self.lane = LaneQueue("a.main", lane, 0)
        self.lane.read(Shaped(rows), rows[-1].seq, Limits(), None)
        self.settlement = Settlement(
            "a",
            "main",
            gate=self.gate,
            parts=self.parts,
            clock=ManualClock(),
            metrics=self.figures,
            policy=BackOff(),
            on_event=self.events.append,
        )

    def answer(self, answer, *, most=None):
        """Send the next batch and get this answer."""
        cut = self.lane.cut(Limits(), now_ms=BASE_MS, busy=frozenset(), ratio=SizeRatio(), max_records=most)
        part = make_part(cut.batch, self.lane)
        part.probe = self.gate.begin(0.0, retry=False)
        self.parts.start(part)
        self.settlement.settle(part, answer)
        return part


def test_an_unforeseen_answer_warns_once():
    """Each is counted, the first of a status is logged."""
    desk = Desk(*(entry(seq) for seq in range(1, 9)))
    with capture_logs() as logs:
        for status in (418, 418, 599):
            desk.answer(Answer("retry", status=status, unforeseen=True, text="odd"), most=1)
    warned = [line["status"] for line in logs if line["event"] == "unforeseen answer, retried"]
    assert warned == ["418", "599"]
    assert desk.figures.get("headgate_sink_unforeseen_answers_total", sink="a", signal="main", status="418") == 2


def test_a_refusal_is_told_once_and_everything_returns_to_the_queue():
    """Also what waited to be sent again; a second refusal is no news."""
    desk = Desk(*(entry(seq) for seq in range(1, 7)))
    desk.answer(Answer("retry", text="away"), most=2)
    with capture_logs() as logs:
        desk.answer(Answer("auth", text="401", reason="auth"), most=2)
        desk.answer(Answer("auth", text="401", reason="auth"), most=2)
    assert [line["log_level"] for line in logs] == ["error"]
    assert [(event.kind, event.reason) for event in desk.events] == [("held", "auth")]
    assert [one.seq for one in desk.lane.queue] == [1, 2, 3, 4, 5, 6]
    assert desk.lane.take(1) is None


@pytest.mark.parametrize(
    ("answer", "dead", "queue"),
    [
        pytest.param(Answer("drop", reason="refused", status=400, words="no"), [], [1], id="alone"),
        pytest.param(Answer("partial", result=SendResult(rejected={0: Reject("x")})), [], [1], id="in a list"),
        pytest.param(Answer("ok"), [], [], id="accepted resumes"),
    ],
)
def test_a_probe_of_a_rejecting_signal_is_never_a_dead_letter(answer, dead, queue):
    """It shows whether the signal takes records again, and no more."""
    desk = Desk(entry(1))
    desk.gate.hold_at_start(0.0, Hold("rejects", "too many"))
    desk.answer(answer)
    assert [one.seq for one in desk.lane.queue] == queue
    told = desk.lane.take(1)
    assert [one.seq for one, _, _ in (told.dead if told else ())] == dead
    assert (desk.gate.hold is None) == (not queue)


def test_too_long_when_encoded_is_not_the_far_sides_verdict():
    """It is split without touching breaker or hold."""
    desk = Desk(entry(1), entry(2))
    desk.answer(Answer("oversize", reason="too_large", words="9 bytes"))
    assert [[one.seq for one in part.entries] for part in desk.parts.later] == [[1], [2]]
    assert desk.gate.state == "ok"
    assert desk.figures.get("headgate_sink_requests_total", sink="a", signal="main", verdict="oversize") == 0


def test_requeued_dead_letters_do_not_trip_the_guard():
    """A human asked for them; that they are refused again says nothing about the signal."""
    desk = Desk(*(entry(seq, lane="dead") for seq in range(1, 201)), lane="dead")
    desk.answer(Answer("partial", result=SendResult(rejected={i: Reject("x") for i in range(200)})))
    assert desk.gate.hold is None
    assert len(desk.lane.take(1).dead) == 200
