"""Ids that are computed, and times as texts."""

import uuid

import pytest

from headgate.testing.circleci import times
from headgate.testing.circleci.ids import Ids, Place


@pytest.mark.parametrize(
    "place",
    [Place(1, 0, 0), Place(2, 4095, 2**36 - 1), Place(3, 11, 123_456, 255)],
    ids=["first", "largest", "job"],
)
def test_an_id_leads_back_to_its_place(place):
    """Whatever the place, its id is a version 4 UUID that names it again."""
    ids = Ids(5)
    text = ids.make(place)
    assert place == ids.locate(text)
    assert 4 == uuid.UUID(text).version
    assert uuid.RFC_4122 == uuid.UUID(text).variant


def test_ids_of_others_lead_nowhere():
    """An id of another seed, a named id and a text that is no UUID are all unknown."""
    ids = Ids(5)
    strangers = [Ids(6).make(Place(1, 0, 0)), ids.named("person", "ada"), "nonsense"]
    assert [None, None, None] == [ids.locate(text) for text in strangers]


def test_event_ids_are_version_3():
    """Deliveries carry version 3 UUIDs, as captured ones do."""
    assert 3 == uuid.UUID(Ids(1).event("x")).version


def test_times_are_written_as_circleci_does():
    """Each source has its own precision; the v2 lists floor."""
    at = times.parse("2026-11-20T10:02:10.987Z")
    assert "2026-11-20T10:02:10.987Z" == times.rfc3339_ms(at)
    assert "2026-11-20T10:02:10Z" == times.rfc3339_seconds(at)
    assert "2026-11-20T10:02:10.987005Z" == times.rfc3339_micros(at, 5)
    assert "2026-11-20 10:02:10.987000042 +0000 UTC" == times.go_text(at, 42)
    assert "2026-11-20T10:02:10+00:00" == times.offset_seconds(at)
    assert "Fri, 20 Nov 2026 10:02:10 GMT" == times.http_date(at)
    assert 4 == times.weekday(at // times.DAY)


@pytest.mark.parametrize("text", ["2026-11-20T10:02:10+01:00", "2026-11-20T09:02:10"], ids=["zone", "none"])
def test_a_time_without_a_zone_is_utc(text):
    """Both spellings are the same moment."""
    assert times.parse("2026-11-20T09:02:10Z") == times.parse(text)
