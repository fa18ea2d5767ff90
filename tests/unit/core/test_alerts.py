"""The alert state machine: every cell of its table, its timers, what people are told, and restarts."""

import dataclasses
import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.alertdata import (
    MOVES,
    Alert,
    AlertState,
    Event,
    Outcome,
    Reading,
    Timing,
    decode_alert,
    encode_alert,
    fingerprint,
    new_alert,
    notification_key,
)
from headgate.core.alerts import RESOLVED_SHOWN_MS, IllegalMove, accept, close, freeze, move, step

MINUTE = 60_000
START = 1_795_000_000_000
S, E = AlertState, Event

# The whole table, written by hand: state, event, state after. Every other cell is illegal.
LEGAL = {
    (S.INACTIVE, E.BREACH): S.PENDING,
    (S.PENDING, E.CONFIRMED): S.FIRING,
    (S.PENDING, E.CLEAR): S.INACTIVE,
    (S.PENDING, E.GONE): S.INACTIVE,
    (S.PENDING, E.EDITED): S.INACTIVE,
    (S.FIRING, E.ESCALATED): S.FIRING,
    (S.FIRING, E.CLEAR): S.RECOVERING,
    (S.FIRING, E.GONE): S.RESOLVED,
    (S.FIRING, E.ACCEPTED): S.RESOLVED,
    (S.FIRING, E.EDITED): S.RESOLVED,
    (S.RECOVERING, E.BREACH): S.FIRING,
    (S.RECOVERING, E.SETTLED): S.RESOLVED,
    (S.RECOVERING, E.GONE): S.RESOLVED,
    (S.RECOVERING, E.ACCEPTED): S.RESOLVED,
    (S.RECOVERING, E.EDITED): S.RESOLVED,
    (S.RESOLVED, E.BREACH): S.PENDING,
    (S.RESOLVED, E.REENTERED): S.FIRING,
    (S.RESOLVED, E.FORGOTTEN): S.INACTIVE,
}
CELLS = [(state, event) for state in AlertState for event in Event]


@pytest.mark.parametrize(("state", "event"), CELLS, ids=[f"{state}-{event}" for state, event in CELLS])
def test_each_cell_of_the_table(state, event):
    """A legal cell moves and counts; an illegal one raises and leaves the alert as it was."""
    alert = Alert(born_ms=START, state=state, number=4, since_ms=START, told=0)
    wanted = LEGAL.get((state, event))
    if wanted is None:
        before = encode_alert(alert)
        with pytest.raises(IllegalMove):
            move(alert, event, START + 1)
        assert before == encode_alert(alert)
        return
    after, made = move(alert, event, START + 1)
    entered = START if wanted is state else START + 1  # what gets worse fires as long as it did
    assert (wanted, 5, entered) == (after.state, after.number, after.since_ms)
    assert (5, state, wanted, event) == (made.number, made.before, made.after, made.event)


def test_the_table_holds_no_other_move():
    """The product's table and the one written here are the same."""
    assert dict(MOVES) == LEGAL


class Player:
    """Feeds readings five minutes apart and keeps what happened."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.alert = new_alert(START, timing.version)
        self.at_ms = START
        self.told: list[tuple[str, int]] = []

    def play(self, outcome: Outcome, *, times: int = 1, **values) -> str:
        """Play a reading and return the state after it."""
        for _ in range(times):
            self.at_ms += values.pop("gap", 5 * MINUTE)
            numbers = {"n": 0 if outcome is Outcome.NO_DATA else 30, "n_new": 3} | values
            level = values.get("level", 1 if outcome is Outcome.BREACH else 0)
            reading = Reading(self.at_ms, outcome, **{**numbers, "level": level})
            done = step(self.alert, reading, self.timing)
            self.alert = done.alert
            if done.notify:
                self.told.append((done.notify, self.alert.told or self.alert.level))
        return str(self.alert.state)


BREACH, CLEAR, BETWEEN, TOO_FEW, NO_DATA = (
    Outcome.BREACH,
    Outcome.CLEAR,
    Outcome.BETWEEN,
    Outcome.TOO_FEW,
    Outcome.NO_DATA,
)


def test_fires_at_once_without_for():
    """Without `for`, one breaching reading with a new run goes through pending to firing."""
    player = Player(Timing())
    assert player.play(BREACH) == "firing"
    assert player.told == [("firing", 1)]
    assert player.alert.number == 2


def test_for_waits_until_the_time_has_passed():
    """`for` counts from the first breaching reading, in data time."""
    player = Player(Timing(for_ms=10 * MINUTE))
    assert [player.play(BREACH) for _ in range(3)] == ["pending", "pending", "firing"]


def test_for_runs_counts_only_readings_with_new_runs():
    """A reading without a new run does not bring an alert nearer to firing."""
    player = Player(Timing(for_runs=3))
    states = [player.play(BREACH, n_new=new) for new in (1, 0, 0, 2, 0, 1)]
    assert states == ["pending"] * 5 + ["firing"]


def test_a_breach_without_any_new_run_never_fires():
    """Old data alone stays pending for ever, which is how a backfill stays quiet."""
    player = Player(Timing())
    assert player.play(BREACH, times=50, n_new=0) == "pending"
    assert player.told == []


@pytest.mark.parametrize("outcome", [CLEAR, BETWEEN, TOO_FEW, NO_DATA])
def test_pending_ends_quietly(outcome):
    """Anything but a breach ends pending, and nobody hears of it."""
    player = Player(Timing(for_runs=3))
    player.play(BREACH)
    assert (player.play(outcome), player.told) == ("inactive", [])


def test_the_band_between_the_thresholds_holds_the_state():
    """A value between firing and recovery threshold neither recovers nor refires."""
    player = Player(Timing())
    player.play(BREACH)
    assert player.play(BETWEEN, times=20) == "firing"
    assert player.told == [("firing", 1)]


def test_recovery_lasts_for_keep_firing_for_and_recover_runs():
    """Resolved only after the time and after enough readings with new runs."""
    player = Player(Timing(keep_firing_ms=10 * MINUTE, recover_runs=3))
    player.play(BREACH)
    states = [player.play(CLEAR, n_new=new) for new in (1, 0, 0, 1, 1)]
    assert states == ["recovering"] * 4 + ["resolved"]
    assert player.told == [("firing", 1), ("resolved", 1)]


def test_the_band_starts_recovery_over():
    """A dip into the band means that the recovery has not lasted."""
    player = Player(Timing(keep_firing_ms=10 * MINUTE))
    player.play(BREACH)
    player.play(CLEAR, times=2)
    player.play(BETWEEN)
    assert [player.play(CLEAR) for _ in range(3)] == ["recovering", "recovering", "resolved"]


def test_a_relapse_while_recovering_tells_nobody():
    """Recovering goes back to firing without a second message."""
    player = Player(Timing(keep_firing_ms=60 * MINUTE))
    player.play(BREACH)
    player.play(CLEAR)
    assert player.play(BREACH) == "firing"
    assert player.told == [("firing", 1)]


def test_escalation_is_told_once_and_relaxing_is_not():
    """Critical after warning is one more message; back to warning and up again is none."""
    player = Player(Timing())
    for level in (1, 2, 1, 2):
        player.play(BREACH, level=level)
    assert player.told == [("firing", 1), ("firing", 2)]


@pytest.mark.parametrize(
    ("policy", "state"), [("ok", "resolved"), ("keep", "firing"), ("alert", "firing")], ids=["ok", "keep", "alert"]
)
def test_no_data_by_policy(policy, state):
    """No runs recover, hold or breach, as the rule says; recovery then needs no new runs."""
    player = Player(Timing(no_data=policy, recover_runs=5))
    player.play(BREACH)
    assert player.play(NO_DATA) == state


def test_no_data_alert_fires_for_a_silent_group():
    """With `no_data: alert` silence itself breaches."""
    player = Player(Timing(no_data="alert", for_runs=2))
    assert [player.play(NO_DATA) for _ in range(2)] == ["pending", "firing"]


def test_gone_resolves_after_two_windows():
    """A group without runs for two windows resolves as gone even where no data keeps the state."""
    player = Player(Timing(no_data="keep", gone_after_ms=60 * MINUTE))
    player.play(BREACH)
    assert player.play(NO_DATA, times=11) == "firing"
    assert player.play(NO_DATA) == "resolved"
    assert player.told[-1][0] == "resolved"


def test_stale_freezes_everything_but_the_flag():
    """Freezing changes the flag alone; the next reading takes it off."""
    player = Player(Timing(for_ms=10 * MINUTE))
    player.play(BREACH)
    frozen = freeze(player.alert)
    assert frozen.flags == ("stale",)
    assert player.alert == msgspec.structs.replace(frozen, flags=())
    player.alert = frozen
    player.play(BREACH)
    assert player.alert.flags == ()


def test_a_late_reading_tells_nobody_until_it_is_confirmed():
    """A catch-up moves the state; the message goes out with the next reading that agrees."""
    player = Player(Timing())
    assert (player.play(BREACH, late=True), player.told) == ("firing", [])
    player.play(BREACH, n_new=0)
    assert player.told == [("firing", 1)]


def test_a_late_breach_that_is_over_is_never_told():
    """What fired and ended while late leaves no message, neither firing nor resolved."""
    player = Player(Timing())
    player.play(BREACH, late=True)
    player.play(CLEAR, times=3)
    assert player.told == []


def test_a_late_recovery_is_told_when_confirmed():
    """A resolution found by a late reading waits for one that is not late."""
    player = Player(Timing())
    player.play(BREACH)
    assert (player.play(CLEAR, late=True), len(player.told)) == ("resolved", 1)
    player.play(CLEAR)
    assert player.told[-1][0] == "resolved"


def test_an_edited_rule_resolves_what_no_longer_holds():
    """Under the new rule the condition does not hold: resolved, with the rule as the reason."""
    player = Player(Timing(version="a"))
    player.play(BREACH)
    done = step(player.alert, Reading(player.at_ms + 1, CLEAR, n=30, n_new=0), Timing(version="b"))
    assert (done.alert.state, done.notify, done.reason) == ("resolved", "resolved", "rule_changed")


def test_an_edited_rule_that_still_holds_re_enters_without_for():
    """Resolve and re-entry are two transitions; people, who know it as firing, hear nothing."""
    player = Player(Timing(version="a"))
    player.play(BREACH)
    edited = Timing(version="b", for_ms=60 * MINUTE, for_runs=9)
    done = step(player.alert, Reading(player.at_ms + 1, BREACH, level=1, n=30), edited)
    assert [made.event for made in done.transitions] == [E.EDITED, E.REENTERED]
    assert ("firing", None, player.alert.fired_ms) == (done.alert.state, done.notify, done.alert.fired_ms)


def test_a_pending_alert_starts_over_under_an_edited_rule():
    """Pending under the old rule counts nothing towards the new one."""
    player = Player(Timing(version="a", for_runs=2))
    player.play(BREACH)
    done = step(
        player.alert, Reading(player.at_ms + 1, BREACH, level=1, n=30, n_new=1), Timing(version="b", for_runs=2)
    )
    assert (done.alert.state, done.alert.streak_runs) == ("pending", 1)


def test_a_deleted_rule_closes_its_alerts():
    """A firing alert of a deleted rule resolves and is told; closing again changes nothing."""
    player = Player(Timing())
    player.play(BREACH)
    done = close(player.alert, E.EDITED, player.at_ms)
    assert (done.alert.state, done.notify, done.reason) == ("resolved", "resolved", "rule_changed")
    again = close(done.alert, E.EDITED, player.at_ms)
    assert (done.alert, (), None) == (again.alert, again.transitions, again.notify)


def test_a_reading_that_is_not_newer_changes_nothing():
    """Data time never goes back, whatever the wall clock does."""
    player = Player(Timing())
    player.play(BREACH)
    for at_ms in (player.at_ms, player.at_ms - MINUTE):
        done = step(player.alert, Reading(at_ms, CLEAR, n=30, n_new=9), player.timing)
        assert (player.alert, (), None) == (done.alert, done.transitions, done.notify)


def test_resolved_is_shown_for_a_day_and_then_forgotten():
    """A resolved alert becomes inactive after a day without a message."""
    player = Player(Timing())
    player.play(BREACH)
    player.play(CLEAR)
    assert player.play(CLEAR) == "resolved"
    assert player.play(CLEAR, gap=RESOLVED_SHOWN_MS) == "inactive"
    assert len(player.told) == 2


def test_fingerprint_is_a_function_of_rule_and_labels():
    """Order of labels does not matter, their text does, and pairs cannot be confused with each other."""
    one = fingerprint("R", {"a": "1", "b": "2"})
    assert one == fingerprint("R", {"b": "2", "a": "1"})
    assert len({one, fingerprint("R", {"a": "1,b", "": "2"}), fingerprint("R", {}), fingerprint("S", {"a": "1"})}) == 4


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A reading, and what happens before it: minutes that pass, flags, another version, or that somebody accepts."""

    outcome: Outcome
    level: int
    n_new: int
    late: bool
    hold: bool
    change: int | None
    gap: int
    flags: tuple[str, ...] | None
    version: str
    accepted: bool


READINGS = st.lists(
    st.builds(
        Drawn,
        outcome=st.sampled_from([BREACH, BREACH, CLEAR, CLEAR, BETWEEN, TOO_FEW, NO_DATA]),
        level=st.sampled_from([1, 2]),
        n_new=st.integers(0, 2),
        late=st.booleans(),
        hold=st.booleans(),
        change=st.sampled_from([None, 0, 60]),
        gap=st.sampled_from([-5, 0, 1, 5, 20, 120, 3000]),
        flags=st.sampled_from([None, (), ("silenced",), ("stale",)]),
        version=st.sampled_from(["a", "a", "a", "b"]),
        accepted=st.sampled_from([False, False, False, True]),
    ),
    max_size=40,
)
TIMINGS = st.builds(
    Timing,
    for_ms=st.sampled_from([0, 10 * MINUTE]),
    for_runs=st.integers(1, 3),
    keep_firing_ms=st.sampled_from([0, 15 * MINUTE]),
    recover_runs=st.integers(0, 3),
    no_data=st.sampled_from(["ok", "alert", "keep"]),
    gone_after_ms=st.just(48 * 60 * MINUTE),
)


def test_an_accepted_alert_is_over_and_knows_since_when():
    """Accepting resolves with its own reason, tells once, and notes up to when nothing counts any more."""
    player = Player(Timing())
    player.play(BREACH)
    done = accept(player.alert, player.at_ms + 1)
    assert (done.alert.state, done.notify, done.reason) == (S.RESOLVED, "resolved", "new_normal")
    assert done.alert.normal_ms == player.at_ms


@pytest.mark.parametrize("state", [S.INACTIVE, S.PENDING, S.RESOLVED])
def test_only_what_fires_can_be_accepted(state):
    """Everything else raises, and nothing changed."""
    alert = Alert(born_ms=START, state=state, number=4, since_ms=START)
    with pytest.raises(IllegalMove):
        accept(alert, START + 1)
    assert alert.normal_ms == 0


def test_a_change_in_sight_is_not_forgotten():
    """A resolved alert about a change stays as long as readings hold it, and goes when they do not."""
    player = Player(Timing())
    player.play(BREACH, change_ms=START)
    player.play(CLEAR, times=2)
    assert player.play(CLEAR, gap=RESOLVED_SHOWN_MS, hold=True) == S.RESOLVED
    assert player.play(CLEAR) == S.INACTIVE


def test_the_end_of_an_event_is_not_told():
    """It resolves in silence, and the next one is told."""
    player = Player(Timing(silent_end=True))
    for _ in range(2):
        player.play(BREACH)
        player.play(CLEAR, times=2)
    assert [state for state, _ in player.told] == ["firing", "firing"]


def _reading(drawn, at_ms):
    breach, n = drawn.outcome is BREACH, 0 if drawn.outcome is NO_DATA else 30
    return Reading(
        at_ms,
        drawn.outcome,
        level=drawn.level if breach else 0,
        n=n,
        n_new=drawn.n_new if n else 0,
        late=drawn.late,
        change_ms=at_ms - drawn.change * MINUTE if breach and drawn.change is not None else 0,
        hold=drawn.hold,
    )


def _played(readings, timing, *, reload):
    """What each step did, with the alert before it and the reading, None for an acceptance."""
    alert, at_ms, out = new_alert(START), START, []
    for drawn in readings:
        at_ms += drawn.gap * MINUTE
        if drawn.flags is not None:
            alert = msgspec.structs.replace(alert, flags=drawn.flags)
        if reload:
            alert = decode_alert(encode_alert(alert))
        if drawn.accepted and alert.state in (S.FIRING, S.RECOVERING):
            before, done = alert, accept(alert, at_ms)
            alert = decode_alert(encode_alert(done.alert)) if reload else done.alert
            out.append((done.transitions, done.notify, before, None, alert))
        before, reading = alert, _reading(drawn, at_ms)
        done = step(alert, reading, dataclasses.replace(timing, version=drawn.version))
        alert = done.alert
        out.append((done.transitions, done.notify, before, reading, alert))
    return out


@settings(max_examples=300, deadline=None)
@given(READINGS, TIMINGS)
def test_people_never_hear_firing_twice_without_a_resolve_between(readings, timing):
    """Between two resolved messages each firing message is of a higher level, and no resolved one comes unasked."""
    known, keys = 0, []
    for _, notify, _, _, alert in _played(readings, timing, reload=False):
        if notify == "firing":
            assert alert.told > known
            known = alert.told
        elif notify == "resolved":
            assert known > 0
            known = 0
        if notify:
            keys.append(notification_key("f", alert))
    assert len(keys) == len(set(keys))


@settings(max_examples=200, deadline=None)
@given(READINGS, TIMINGS)
def test_a_restart_between_any_two_readings_changes_nothing(readings, timing):
    """Storing and loading the alert before every reading gives the same moves, messages and state."""
    assert _played(readings, timing, reload=False) == _played(readings, timing, reload=True)


@settings(max_examples=200, deadline=None)
@given(READINGS, TIMINGS)
def test_transitions_are_numbered_without_a_gap_and_follow_the_table(readings, timing):
    """Numbers count up by one and each transition begins where the one before ended."""
    made = [one for moves, *_ in _played(readings, timing, reload=False) for one in moves]
    assert [one.number for one in made] == list(range(1, len(made) + 1))
    for one, following in itertools.pairwise(made):
        assert one.after == following.before
        assert MOVES[following.before, following.event] == following.after


@settings(max_examples=300, deadline=None)
@given(READINGS, TIMINGS)
def test_what_was_accepted_or_is_in_sight_is_remembered(readings, timing):
    """Accepting ends the alert and notes what it has seen, for good; a change is known while readings hold it."""
    for moves, notify, before, reading, alert in _played(readings, timing, reload=False):
        assert alert.normal_ms >= before.normal_ms
        assert alert.at_ms >= before.at_ms
        if reading is None:
            assert [one.event for one in moves] == [E.ACCEPTED]
            assert (alert.state, alert.normal_ms, alert.told, alert.streak_ms) == (S.RESOLVED, before.at_ms, 0, None)
            assert notify == ("resolved" if before.told else None)
            continue
        assert alert.normal_ms == before.normal_ms
        if alert.change_ms != before.change_ms:
            assert (alert.change_ms, E.BREACH in [one.event for one in moves]) == (reading.change_ms, True)
        if before.state is S.RESOLVED and reading.hold and (before.change_ms or before.normal_ms):
            assert alert.state is not S.INACTIVE
