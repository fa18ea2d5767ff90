"""Badges: one figure as a picture, whole and harmless whatever is asked."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import httpx
import pytest
from tests.unit.web.site.test_routes import PROJECT, Bench

from headgate.core.errors import StoreError
from headgate.testing.store_data import merge, pipeline, workflow
from headgate.web.badges import draw
from headgate.web.guard import Guard

EVIL = "<script>alert(1)</script>\"'&\u202e\x00\x1b\ufffe" + "x" * 300
RED, GREEN, GREY, BLUE = "#b42318", "#137341", "#5f6672", "#1257b3"


@pytest.fixture
async def bench():
    made = Bench()
    await made.store.open()
    async with made.http:
        yield made


def texts(picture: str) -> list[str]:
    """Everything that is written in a picture; raises where it is no XML, fails where it could run."""
    root = ET.fromstring(picture)  # noqa: S314  # our own answer
    assert {"svg", "title", "rect", "g", "text"} == {one.tag.rpartition("}")[2] for one in root.iter()}
    assert not any(name.startswith("on") for one in root.iter() for name in one.attrib)
    assert root.attrib["aria-label"] == next(root.itertext())
    return [one.text or "" for one in root.iter() if one.tag.endswith("text")]


@pytest.mark.parametrize(
    ("path", "status", "says", "colour"),
    [
        ("last-run.svg?project=gh/acme/web", 200, "failure", RED),
        ("last-run.svg?project=github/acme/web&branch=main", 200, "failure", RED),
        ("last-run.svg?project=gh/acme/web&branch=other", 200, "no run", GREY),
        ("success-rate.svg?project=gh/acme/web", 200, "50.0 %", RED),
        ("success-rate.svg?project=gh/acme/web&workflow=build", 200, "100 %", GREEN),
        ("success-rate.svg?project=gh/acme/web&branch=@default", 200, "50.0 %", RED),
        ("success-rate.svg?project=gh/acme/web&branch=other", 200, "no data", GREY),
        ("duration-p95.svg?project=gh/acme/web", 200, "8s", BLUE),
        ("runs.svg?project=gh/acme/web&window=30d", 200, "2", BLUE),
        ("credits-of-jobs.svg?project=gh/acme/web", 200, "no data", GREY),
        ("success-rate.svg?project=gh/acme/nobody", 404, "unknown", GREY),
        ("success-rate.svg", 404, "unknown", GREY),
        ("success-rate.svg?project=gh/acme/web&workflow=nope", 404, "unknown", GREY),
        ("mttr.svg?project=gh/acme/web", 404, "unknown", GREY),
        ("success-rate.svg?project=gh/acme/web&window=soon", 400, "bad window", GREY),
        (f"success-rate.svg?project={'x' * 1001}", 400, "text is too long", GREY),
    ],
)
async def test_a_badge_says_one_figure(bench, path, status, says, colour):
    """What is not known is grey; a link to it never breaks."""
    broken = workflow("33333333-3333-4333-8333-333333333334", name="ship", status="failed")
    await merge(bench.store, pipeline(), workflow(), broken)
    answer = await bench.http.get(f"/badge/{path}")
    assert (status, "image/svg+xml") == (answer.status_code, answer.headers["content-type"])
    assert says == texts(answer.text)[1]
    assert colour in answer.text


async def test_hostile_text_is_text(bench):
    """In the label and in the name; what XML cannot have is replaced, and no badge is endless."""
    for path in (f"/badge/{'success-rate'}.svg", "/badge/%3Csvg%20onload=x%3E%00.svg"):
        answer = await bench.http.get(path, params={"project": PROJECT, "label": EVIL, "workflow": EVIL})
        label = texts(answer.text)[0]
        assert label.startswith("<script>alert(1)</script>\"'&\u202e\ufffd\ufffd\ufffdxx")
        assert len(label) == 60
    assert ["<svg onload=x>\ufffd", "unknown"] == texts(
        (await bench.http.get("/badge/%3Csvg%20onload=x%3E%00.svg")).text
    )


def test_a_picture_is_as_wide_as_its_texts():
    """Wide characters take more room; nothing at all is a dash."""
    assert ["-", "\u6210\u529f"] == texts(draw("  ", "\u6210\u529f", "good"))
    widths = [int(ET.fromstring(draw("a", text, "good")).attrib["width"]) for text in ("aa", "\u6210\u529f", "a" * 9)]  # noqa: S314  # our own
    assert sorted(widths) == widths


async def test_a_badge_is_kept_for_a_minute_and_shown_elsewhere(bench):
    """By its tag it is not sent twice; behind the guard other sites may still embed it."""
    await merge(bench.store, pipeline(), workflow())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Guard(bench.app)), base_url="http://localhost") as http:
        first = await http.get(f"/badge/last-run.svg?project={PROJECT}")
        assert ("max-age=60", "cross-origin") == (
            first.headers["cache-control"],
            first.headers["cross-origin-resource-policy"],
        )
        again = await http.get(
            f"/badge/last-run.svg?project={PROJECT}", headers={"if-none-match": first.headers["etag"]}
        )
        assert (304, b"") == (again.status_code, again.content)
        assert (await http.get("/")).headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_store_that_fails_is_a_badge_too(bench, monkeypatch):
    """With the status that says so."""

    async def broken():
        raise StoreError("closed")

    monkeypatch.setattr(bench.store, "projects", broken)
    answer = await bench.http.get("/badge/last-run.svg?project=x")
    assert (503, "no answer") == (answer.status_code, texts(answer.text)[1])
