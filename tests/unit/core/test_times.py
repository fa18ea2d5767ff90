"""Every way in which CircleCI writes a time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.times import format_ms, parse_ms

CASES = [
    pytest.param("2022-08-27T20:26:31.289Z", 1661631991289, id="milliseconds"),
    pytest.param("2022-08-27T20:26:31.353978Z", 1661631991353, id="microseconds-are-cut"),
    pytest.param("2020-11-03T11:35:07Z", 1604403307000, id="whole-seconds"),
    pytest.param("2024-12-18 17:23:29.361740256 +0000 UTC", 1734542609361, id="go-text"),
    pytest.param("2024-12-18 18:23:29 +0100 CET", 1734542609000, id="go-text-with-zone"),
    pytest.param("2025-07-02 18:31:31.424", 1751481091424, id="usage-export-is-utc"),
    pytest.param("2022-04-13T11:10:16+00:00", 1649848216000, id="offset"),
    pytest.param("1970-01-01T00:00:00.000Z", 0, id="epoch"),
    pytest.param("", None, id="blank"),
    pytest.param(None, None, id="null"),
    pytest.param("string", None, id="placeholder"),
    pytest.param("2022-13-45T20:26:31.289Z", None, id="no-such-day"),
    pytest.param("\\N", None, id="usage-export-missing"),
    pytest.param(12, None, id="number"),
    pytest.param("0001-01-01T00:00:00Z", None, id="go-zero-time"),
    pytest.param("0001-01-01T00:00:00.000Z", None, id="go-zero-time-with-milliseconds"),
    pytest.param("0001-01-01T00:00:00+23:59", None, id="before-the-first-year"),
    pytest.param("9999-12-31T23:59:59-23:59", None, id="beyond-the-last-year"),
    pytest.param("9999-12-31T99:99:99.999Z", None, id="no-such-hour"),
    pytest.param("2022-08-27T-1:00:00.000Z", None, id="negative-hour"),
    pytest.param("9999-12-31T23:59:59.999Z", 253402300799999, id="the-last-one"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_reads_what_circleci_writes(text, expected):
    """Unreadable and missing times are None, never an error."""
    assert parse_ms(text) == expected


@given(st.integers(0, 4_000_000_000_000))
def test_written_times_read_back(ms):
    """What is written is RFC 3339 and reads back to the millisecond."""
    assert parse_ms(format_ms(ms)) == ms
    assert datetime.fromisoformat(format_ms(ms)) == datetime.fromtimestamp(ms // 1000, tz=UTC).replace(
        microsecond=ms % 1000 * 1000
    )


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-(1 << 62), "0001-01-01T"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (1 << 62, "9999-12-31T"),
    ],
)
def test_any_number_can_be_written(ms, text):
    """What cannot be written as it is does not stop whoever writes: the store holds any number."""
    assert format_ms(ms).startswith(text)
    assert len(format_ms(ms)) == len("2026-11-20T10:02:10.000Z")
