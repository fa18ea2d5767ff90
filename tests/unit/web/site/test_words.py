"""Numbers and times as people read them."""

from __future__ import annotations

import pytest

from headgate.web.site.words import FILTERS

NONE = "\u2013"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("duration", None, NONE),
        ("duration", 0, "0s"),
        ("duration", 0.25, "0.2s"),
        ("duration", 59.6, "1m"),
        ("duration", 75, "1m 15s"),
        ("duration", 3600, "1h"),
        ("duration", 90_061, "1d 1h"),
        ("percentage", None, NONE),
        ("percentage", 0, "0 %"),
        ("percentage", 1, "100 %"),
        ("percentage", 0.99999, "99.9 %"),
        ("percentage", 0.00001, "0.1 %"),
        ("percentage", 0.9764, "97.6 %"),
        ("percentage", 1.0341, "103.4 %"),
        ("percentage", 1.0001, "100.1 %"),
        ("moment", 1_795_000_000_000, "2026-11-18 11:06:40"),
        ("moment", None, NONE),
        ("second", "2026-11-20T10:02:10.000Z", "2026-11-20 10:02:10"),
        ("second", None, NONE),
        ("figures", 0.123456, "0.1235"),
        ("figures", 447_712.4, "447,712"),
        ("figures", None, NONE),
        ("word", "on_hold", "on hold"),
        ("link", "javascript:alert(1)", ""),
        ("link", None, ""),
        ("link", "https://app.circleci.com/x", "https://app.circleci.com/x"),
        ("size", 12_345_678, "12 MB"),
        ("size", 2e9, "2.0 GB"),
        ("span", 61.0, "1 min"),
        ("span", None, "-"),
        ("span", 0.2, "0 s"),
        ("number", 1234.0, "1,234"),
        ("clock", None, "-"),
    ],
)
def test_values_are_written(name, value, words):
    """Nothing is a dash, and only all is all."""
    assert words == FILTERS[name](value)


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        (3.0, "number", "3"),
        (3.25, "number", "3.2"),
        (12_345.4, "credits", "12,345"),
        (None, "credits", NONE),
        (0.5, "score", "0.50"),
        (None, "score", NONE),
        (0.5, "percentage", "50.0 %"),
        (61, "duration", "1m 1s"),
    ],
)
def test_metrics_are_written_in_their_format(value, form, words):
    """As the catalogue says."""
    assert words == FILTERS["shown"](value, form)


@pytest.mark.parametrize(
    ("value", "form", "unit", "words"),
    [
        (None, "percentage", "1", NONE),
        (0.6, "percentage", "1", "60.0 %"),
        (205.5, "duration", "s", "3m 26s"),
        (1234.0, "credits", "{credit}", "1,234 credits"),
        (1, "number", "{run}", "1 run"),
        (0.5, "number", "{deployment}/d", "0.5 deployments a day"),
        (0.99, "score", "1", "0.99"),
        (3, "number", "{hold}", "3 hold"),
        (2.0, "", "", "2"),
        (2.0, None, None, "2"),
    ],
)
def test_a_quantity_has_its_unit(value, form, unit, words):
    """As the catalogue has it; a plain count has none."""
    assert words == FILTERS["quantity"](value, form, unit)
