"""Bringing saved objects into Kibana: any file of them, and what comes of those that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.core.ports import SetUpStep, TransportOptions
from headgate.sinks._endpoint import Redactor
from headgate.sinks._kibana import bring_in
from headgate.sinks._saved_objects import Place, as_ndjson
from headgate.testing.sinks import FakeVendor

VIEW = {"type": "index-pattern", "id": "v", "attributes": {"title": "logs-*"}, "references": []}
BOARD = {
    "type": "dashboard",
    "id": "d",
    "attributes": {"title": "Overview", "panelsJSON": "[]"},
    "references": [{"type": "index-pattern", "id": "v", "name": "view"}],
}


async def bring(url: str, *objects: dict[str, Any], dry_run: bool = False) -> list[SetUpStep]:
    """The steps of one file."""
    place = Place(url, (("authorization", "ApiKey canary"),), Redactor(("canary",)))
    return [step async for step in bring_in(place, TransportOptions(), as_ndjson(objects), dry_run=dry_run)]


async def test_a_file_of_any_objects_is_brought_in_once() -> None:
    """A dashboard and the view it refers to are made, then left alone; a change of one imports that one."""
    with FakeVendor("kibana") as kibana:
        assert [step.outcome for step in await bring(kibana.url, VIEW, BOARD, dry_run=True)] == ["done", "done"]
        assert kibana.stored() == []
        assert [step.outcome for step in await bring(kibana.url, VIEW, BOARD)] == ["done", "done"]
        assert [step.outcome for step in await bring(kibana.url, VIEW, BOARD)] == ["unchanged", "unchanged"]
        renamed = {**BOARD, "attributes": {**BOARD["attributes"], "title": "All"}}
        steps = await bring(kibana.url, VIEW, renamed)
        assert [(step.what, step.outcome) for step in steps] == [
            ("Kibana data view v", "unchanged"),
            ("Kibana dashboard d", "changed"),
        ]
        assert steps[1].diff == ('- attributes.title: "Overview"', '+ attributes.title: "All"')
        assert sorted(map(str, kibana.record_ids())) == ["d", "v"]


async def test_a_refused_object_is_a_failed_step_and_the_others_are_taken() -> None:
    """The answer is 200 even so; the words say which reference is missing."""
    lost = {**BOARD, "references": [{"type": "index-pattern", "id": "gone", "name": "view"}]}
    with FakeVendor("kibana") as kibana:
        steps = await bring(kibana.url, VIEW, lost)
        assert [step.outcome for step in steps] == ["done", "failed"]
        assert "missing_references" in steps[1].fix
        assert kibana.record_ids() == ["v"]


@pytest.mark.parametrize(
    "order",
    [
        {"status": 401},
        {"status": 503},
        {"cut": "before_store"},
        {"status": 200, "body": "<html>", "store": False},
        {"status": 400, "body": {"message": "no"}},
    ],
    ids=["401", "503", "cut", "page", "400"],
)
async def test_what_cannot_be_asked_is_failed_and_says_what_to_look_at(order: dict[str, Any]) -> None:
    """Each object is a failed step, and no secret is in the words."""
    with FakeVendor("kibana") as kibana:
        kibana.answer(order)
        steps = await bring(kibana.url, VIEW, BOARD)
        assert [step.outcome for step in steps] == ["failed", "failed"]
        assert all("kibana_url" in step.fix and "canary" not in step.fix for step in steps)


async def test_an_import_that_answers_nonsense_is_failed() -> None:
    """A page of a proxy instead of a report is not believed."""
    with FakeVendor("kibana") as kibana:
        kibana.answer(status=200, path="/api/saved_objects/_import", body="<html>", store=False)
        assert [step.outcome for step in await bring(kibana.url, VIEW)] == ["failed"]
