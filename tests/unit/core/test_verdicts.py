"""Statuses, Retry-After and back-off."""

from __future__ import annotations

import pytest

from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.verdicts import MAX_RETRY_AFTER_SECONDS, Verdict, classify, raise_for, retry_after_seconds

EXPECTED = {
    **dict.fromkeys((200, 201, 202, 204), Verdict.OK),
    **dict.fromkeys(range(300, 400), Verdict.CONFIG),
    **dict.fromkeys((400, 422), Verdict.DROP),
    **dict.fromkeys((401, 403), Verdict.AUTH),
    **dict.fromkeys((404, 405, 406, 411, 414, 415, 431), Verdict.CONFIG),
    413: Verdict.SPLIT,
}


def test_every_status_has_one_reading():
    """All of HTTP's range; what nobody foresaw is retried, never dropped."""
    assert {s: classify(s) for s in range(100, 600)} == {s: EXPECTED.get(s, Verdict.RETRY) for s in range(100, 600)}


def test_a_vendor_may_narrow_a_status():
    """Loki's 260 is 2xx and not success."""
    assert classify(260, {260: Verdict.RETRY}) is Verdict.RETRY


RAISED = [
    (Verdict.RETRY, SinkUnavailable),
    (Verdict.SPLIT, BatchRejected),
    (Verdict.DROP, BatchRejected),
    (Verdict.AUTH, SinkRefused),
    (Verdict.CONFIG, SinkRefused),
]


@pytest.mark.parametrize(("verdict", "error"), RAISED, ids=[v.value for v, _ in RAISED])
def test_whole_request_verdicts_raise(verdict, error):
    """Each class has one error; the text is cut."""
    with pytest.raises(error) as caught:
        raise_for(verdict, 499, "x" * 9000)
    assert len(str(caught.value)) < 700


DATE = "Fri, 20 Nov 2026 10:00:00 GMT"
RETRY_AFTER = [
    pytest.param({"retry-after": "12"}, 12.0, id="seconds"),
    pytest.param({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": DATE}, 30.0, id="date"),
    pytest.param({"retry-after": "Fri, 20 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0, id="past"),
    pytest.param({"retry-after": "999999999"}, MAX_RETRY_AFTER_SECONDS, id="bounded"),
    pytest.param({"retry-after": "soon"}, None, id="unreadable"),
    pytest.param({"retry-after": "-5"}, None, id="negative"),
    pytest.param({}, None, id="none"),
]


@pytest.mark.parametrize(("headers", "expected"), RETRY_AFTER)
def test_retry_after(headers, expected):
    """Both forms, bounded; a date is judged by the server's own clock."""
    assert retry_after_seconds(headers) == expected


def test_back_off_grows_with_full_jitter_to_its_cap():
    """0.5 s, doubling, at most five minutes."""
    assert [wait_seconds(BackOff(), n, 1.0) for n in (1, 2, 3, 20, 5000)] == [0.5, 1.0, 2.0, 300.0, 300.0]
    assert wait_seconds(BackOff(), 9, 0.0) == 0.0
    assert wait_seconds(BackOff(), 1, 0.0, retry_after=12) == 12
    assert 12 < wait_seconds(BackOff(), 5, 1.0, retry_after=12) <= 14
