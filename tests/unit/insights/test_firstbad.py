"""The first bad run is where the failure rate rose."""

import pytest

from headgate.insights.firstbad import first_bad_run
from headgate.insights.metric import Point


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("ssssffff", 4), ("sfsssssffff", 7), ("ffff", 0), ("ssss", None), ("ffss", 0), ("", None), ("sssfsssfffsff", 7)],
)
def test_the_first_bad_run_is_where_the_rate_rose(pattern, wanted):
    """A single earlier failure is not where it broke."""
    points = [
        Point(str(index), index, 0.0, ok=letter == "s", revision="", number=None, url="", labels={})
        for index, letter in enumerate(pattern)
    ]
    found = first_bad_run(points)
    assert (found.at_ms if found else None) == wanted
