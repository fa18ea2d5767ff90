"""Headers about limits: every family, the lower one rules, nonsense is nothing."""

import pytest

from headgate.sources.circleci.limits import RateHint, date_ms, rate_hint, retry_after_seconds

NOW = 1_604_403_543_000  # Tue, 03 Nov 2020 11:39:03 GMT


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RateHint()),
        # Captured in 2020 from api/v2/project/:project-slug/pipeline.
        (
            {"x-ratelimit-limit": "151", "x-ratelimit-remaining": "150", "x-ratelimit-reset": "0"},
            RateHint(remaining=150, reset_seconds=0),
        ),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, RateHint(0, 7)),
        (
            {
                "ratelimit-remaining": "5",
                "ratelimit-reset": "7",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "3",
            },
            RateHint(0, 3),
        ),
        (
            {
                "ratelimit-remaining": "0",
                "ratelimit-reset": "7",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "3",
            },
            RateHint(0, 7),
        ),
        ({"x-ratelimit-limit-second": "150", "x-ratelimit-limit-minute": "300"}, RateHint(per_second=5)),
        ({"x-ratelimit-limit-hour": "3600", "x-ratelimit-limit-day": "8640"}, RateHint(per_second=0.1)),
        ({"x-ratelimit-remaining-minute": "0"}, RateHint(0, 60)),
        ({"x-ratelimit-remaining-minute": "0", "x-ratelimit-reset": "12"}, RateHint(0, 12)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": str(NOW // 1000 + 9)}, RateHint(0, 9)),
        ({"ratelimit-remaining": "x", "ratelimit-reset": "-4", "ratelimit-limit-second": ""}, RateHint()),
        ({"ratelimit-remaining": "9, 9;w=1", "ratelimit-reset": "1;x"}, RateHint(9, 1)),
    ],
)
def test_rate_hint(headers, expected):
    """Both families, their variants by unit, resets as seconds or as a point in time."""
    assert expected == rate_hint(headers, NOW)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "Tue, 03 Nov 2020 11:39:33 GMT"}, 30),
        ({"retry-after": "Tue, 03 Nov 2020 11:39:33 GMT", "date": "Tue, 03 Nov 2020 11:39:13 GMT"}, 20),
        ({"retry-after": "Tue, 03 Nov 2020 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "", "x-ratelimit-reset": "4"}, 4),
        ({"ratelimit-reset": "2", "x-ratelimit-reset": "4"}, 4),
        ({"retry-after": "1", "x-ratelimit-reset": "4"}, 1),
    ],
)
def test_retry_after(headers, expected):
    """Seconds, a date against the server's own clock, else the later reset, else nothing."""
    assert expected == retry_after_seconds(headers, NOW)


def test_date():
    """An HTTP date is read, anything else is None."""
    assert date_ms("Tue, 03 Nov 2020 11:39:03 GMT") == NOW
    assert [date_ms(text) for text in ("", "yesterday", "Tue, 99 Nov 2020 11:39:03 GMT")] == [None] * 3
