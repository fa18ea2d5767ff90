"""Setting up a cluster: what is made, that repeating it changes nothing, and that the mapping fits every document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import httpx
import orjson
import pytest
from tests.golden.test_sinks import batch as golden_batch

from headgate.core.fieldlist import ATTRIBUTES
from headgate.core.ports import LogEntry, SetsUp, SetUpStep
from headgate.core.record import KINDS, Attribute
from headgate.core.verdicts import SendResult
from headgate.sinks._elasticsearch_templates import DYNAMIC_TEMPLATES, Layout, data_views, mapping_types, things
from headgate.sinks.elasticsearch import PLUGINS
from headgate.testing.sink_harness import NOW_MS, build_sink, make_entry, open_sink, send
from headgate.testing.sinks import FakeVendor

SAMPLES: dict[str, Attribute] = {
    "text": "words",
    "time": "2026-11-20T10:00:00.000Z",
    "integer": 7,
    "number": 1.5,
    "bool": True,
    "list": ["a", "b"],
}
TARGETS = ["data_stream", "month"]
GENERATIONS = ["8", "9", "opensearch"]


@contextmanager
def cluster(generation: str = "9", **options: Any) -> Iterator[FakeVendor]:
    """A strict cluster with a fixed clock."""
    with FakeVendor("elasticsearch", generation=generation, clock_ms=lambda: NOW_MS, **options) as vendor:
        yield vendor


async def set_up(vendor: FakeVendor, *, dry_run: bool = False, **settings: object) -> list[SetUpStep]:
    """The steps of one run."""
    async with open_sink(PLUGINS[0], {"hosts": [vendor.url], **settings}) as (sink, _):
        assert isinstance(sink, SetsUp)
        return [step async for step in sink.set_up(dry_run=dry_run)]


def outcomes(steps: list[SetUpStep]) -> list[str]:
    """What came of each step."""
    return [step.outcome for step in steps]


def full_batch() -> list[LogEntry]:
    """A record of every kind with every attribute that it can have, and with names that are data."""
    found = []
    for number, kind in enumerate(KINDS, start=500):
        listed = [one for one in ATTRIBUTES[kind].values() if not one.name.endswith(".*")]
        named: dict[str, Attribute] = {one.name.replace(".", "__"): SAMPLES[one.type] for one in listed}
        if kind == "insight":
            named |= {"circleci__insight__runs": 4, "circleci__insight__rate": 0.5}
        if kind == "alert":
            named |= {"headgate__alert__label__team": "web"}
        found.append(make_entry(number, kind=kind, tag__team="web", **named))
    return found


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("target", TARGETS)
async def test_everything_is_made_once_and_then_left_alone(generation: str, target: str) -> None:
    """The first run makes all, the second finds nothing to do, though servers show things in their own words."""
    with cluster(generation) as vendor:
        first = await set_up(vendor, target=target, retention="400d")
        again = await set_up(vendor, target=target, retention="400d")
        kinds = [step.what.split()[0] for step in first]
    assert set(outcomes(first)) == {"done"}
    assert set(outcomes(again)) == {"unchanged"}
    policy = "ISM" if generation == "opensearch" else "ILM"
    assert kinds == [policy, "component", "index", *(["index"] if target == "data_stream" else [])]


@pytest.mark.parametrize(
    ("generation", "target", "needed"),
    [("9", "data_stream", False), ("9", "month", True), ("opensearch", "data_stream", True)],
)
async def test_check_says_what_is_not_set_up(generation: str, target: str, needed: bool) -> None:
    """Where nothing built in would do, documents would come into indices with guessed types."""
    with cluster(generation) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "target": target}) as (sink, _):
            (before,) = await sink.check()
            assert (before.reason, "headgate sinks setup" in before.fix) == (("not_set_up" if needed else "ok"), needed)
            await set_up(vendor, target=target)
            assert [result.reason for result in await sink.check()] == ["ok"]


async def test_check_asks_kibana_too() -> None:
    """A line of its own: with and without our views, refused, another product, dead."""
    with cluster() as vendor, FakeVendor("kibana") as kibana:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "kibana_url": kibana.url}) as (sink, _):
            assert [(result.ok, result.fix) for result in await sink.check()] == [(True, "")] * 2
            assert kibana.stored() == []
            await set_up(vendor, kibana_url=kibana.url)
            assert [result.ok for result in await sink.check()] == [True, True]
            kibana.answer(status=200, body={"greeting": "hello"})
            assert [result.reason for result in await sink.check()] == ["ok", "wrong_product"]
            kibana.answer(status=401)
            result = (await sink.check())[1]
            assert (result.name, result.reason) == (f"sinks.{sink.name}.kibana", "auth")
            assert kibana.url in result.fix
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "kibana_url": vendor.url}) as (sink, _):
            assert [result.ok for result in await sink.check()] == [True, False]
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "kibana_url": "http://127.0.0.1:1"}) as (sink, _):
            assert [result.reason for result in await sink.check()] == ["ok", "unreachable"]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_dry_run_writes_nothing_and_shows_what_it_would(generation: str) -> None:
    """Only GET is sent; each line of the difference begins with plus or minus."""
    with cluster(generation) as vendor:
        steps = await set_up(vendor, dry_run=True)
        assert {row["method"] for row in vendor.requests()} == {"GET"}
    assert set(outcomes(steps)) == {"done"}
    assert all(step.diff and all(line[:2] in ("+ ", "- ") for line in step.diff) for step in steps)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_change_is_shown_and_made(generation: str) -> None:
    """Another retention changes the policy alone, by its own line; nothing is ever deleted."""
    with cluster(generation) as vendor:
        await set_up(vendor)
        changed = await set_up(vendor, retention="90d")
        assert outcomes(changed) == ["changed", "unchanged", "unchanged", "unchanged"]
        assert any("90d" in line for line in changed[0].diff)
        assert outcomes(await set_up(vendor, retention="90d")) == ["unchanged"] * 4
        assert "DELETE" not in {row["method"] for row in vendor.requests()}


async def test_what_somebody_changed_in_our_template_is_set_right() -> None:
    """An altered type is shown with both values; a component of the user's own is not touched."""
    with cluster() as vendor:
        await set_up(vendor)
        async with httpx.AsyncClient(base_url=f"{vendor.url}/_component_template/", trust_env=False) as client:
            found = (await client.get("circleci@mappings")).json()["component_templates"][0]["component_template"]
            found["template"]["mappings"]["properties"]["circleci"]["properties"]["status"]["type"] = "text"
            await client.put("circleci@mappings", json=found)
            own = {"template": {"settings": {"index": {"number_of_replicas": "0"}}}}
            await client.put("circleci@custom", json=own)
            steps = await set_up(vendor)
            kept = (await client.get("circleci@custom")).json()["component_templates"][0]["component_template"]
    assert outcomes(steps) == ["unchanged", "changed", "unchanged", "unchanged"]
    name = "template.mappings.properties.circleci.properties.status.type"
    assert steps[1].diff == (f'- {name}: "text"', f'+ {name}: "keyword"')
    assert kept == own


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("target", TARGETS)
async def test_every_document_of_every_kind_fits_the_mapping(generation: str, target: str) -> None:
    """Golden records and records with every attribute are all taken after set-up, each stored once."""
    entries = [*golden_batch(), *full_batch()]
    with cluster(generation) as vendor:
        await set_up(vendor, target=target)
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "target": target}) as (_, signal):
            assert await send(signal, entries) == SendResult()
            assert await send(signal, entries) == SendResult()
        assert len(vendor.stored()) == len(entries)
        if target == "data_stream":
            assert all(row["native"]["backing"].startswith(".ds-") for row in vendor.stored())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("circleci.duration_ms", "soon"),
        ("circleci.started_at", "yesterday"),
        ("circleci.partial_rerun", "perhaps"),
        ("headgate.alert.value", "much"),
    ],
)
async def test_a_value_of_another_type_is_refused(name: str, value: str) -> None:
    """The mapping is really in force: long, date, boolean and double take nothing else."""
    with cluster() as vendor:
        await set_up(vendor, target="month")
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "target": "month"}) as (_, signal):
            result = await send(signal, [make_entry(1, **{name.replace(".", "__"): value})])
    assert [reject.reason for reject in result.rejected.values()] == ["document_parsing_exception"]


async def test_insights_take_whole_numbers_and_fractions_in_any_order() -> None:
    """A number that is whole by chance does not decide that all are."""
    with cluster() as vendor:
        await set_up(vendor)
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url]}) as (_, signal):
            for number, value in enumerate((1, 1.5), start=1):
                entry = make_entry(number, kind="insight", circleci__insight__success_rate=value)
                assert await send(signal, [entry]) == SendResult()


def test_every_field_of_every_document_has_its_type() -> None:
    """No field is left to guessing: each name is in the mapping or belongs to a family that has a rule."""
    types = mapping_types()
    families = ("circleci.insight.", "headgate.alert.label.")
    rules = [next(iter(rule.values())).get("path_match") for rule in DYNAMIC_TEMPLATES]
    assert rules == ["circleci.insight.*", "circleci.insight.*", None]
    for target in TARGETS:
        body = _encoded(target, [*golden_batch(), *full_batch()])
        for line in body.splitlines()[1::2]:
            names = set(orjson.loads(line))
            assert {name for name in names if name not in types and not name.startswith(families)} == set()


def _encoded(target: str, entries: list[LogEntry]) -> bytes:
    sink = build_sink(PLUGINS[0], {"hosts": ["http://127.0.0.1:1"], "target": target})
    return sink.signals()[0].encode(entries)


def test_no_field_is_a_value_and_an_object() -> None:
    """Nested properties of one mapping cannot hold both."""
    names = mapping_types()
    assert [name for name in names if any(other.startswith(f"{name}.") for other in names)] == []
    assert set(names.values()) == {"keyword", "long", "double", "date", "boolean", "text", "object", "constant_keyword"}


def test_templates_win_over_the_built_in_ones_and_keep_their_parts() -> None:
    """Priority 200, ECS and log settings on Elasticsearch; on OpenSearch, which has none, all is ours."""
    layout = Layout("data_stream", "default", "circleci", 0)
    logs = things("elasticsearch", layout)[2].body
    assert (logs["priority"], logs["index_patterns"]) == (200, ["logs-circleci.*-default"])
    assert logs["composed_of"] == ["ecs@mappings", "logs@settings", "circleci@mappings", "circleci@custom"]
    opensearch = things("opensearch", layout)
    assert all(thing.body.get("composed_of", ["circleci@mappings"]) == ["circleci@mappings"] for thing in opensearch)
    assert "constant_keyword" not in orjson.dumps([thing.body for thing in opensearch]).decode()


def test_without_retention_no_policy_deletes() -> None:
    """Nothing is deleted by a cluster unless somebody asked for it."""
    for target in ("data_stream", "month"):
        for product in ("elasticsearch", "opensearch"):
            kept, deleted = (
                orjson.dumps(things(product, Layout(target, "default", "circleci", ms))[0].body).decode()
                for ms in (0, 86_400_000)
            )
            assert "delete" not in kept
            assert '"1d"' in deleted


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"api_key": "aWQ6a2V5"}, {"api_key": "aWQ6a2V5"}),
        ({"basic": "u:pass"}, {"basic_auth": {"user": "u", "password": "pass"}}),
        ({"bearer": "token"}, {"bearer_token": "token"}),
    ],
    ids=["api-key", "basic", "bearer"],
)
async def test_credentials_go_with_every_request(options: dict[str, Any], settings: dict[str, Any]) -> None:
    """Cluster and Kibana get the same key; without it each thing fails and says which rights are needed."""
    with cluster(**options) as vendor, FakeVendor("kibana", **options) as kibana:
        wanted = {**settings, "kibana_url": kibana.url}
        assert set(outcomes(await set_up(vendor, **wanted))) == {"done"}
        refused = await set_up(vendor, kibana_url=kibana.url)
        assert set(outcomes(refused)) == {"failed"}


async def test_a_refusal_of_one_thing_is_told_and_does_not_stop_the_others() -> None:
    """403 names the rights; what can be made is made."""
    with cluster() as vendor:
        vendor.answer(status=403, path="/_ilm")
        steps = await set_up(vendor)
        assert outcomes(steps) == ["failed", "done", "done", "done"]
        assert "manage_ilm" in steps[0].fix


async def test_nobody_there_and_another_product_are_one_failed_step() -> None:
    """Without knowing the product nothing is written."""
    with cluster(product=False) as vendor:
        steps = await set_up(vendor)
        assert (outcomes(steps), steps[0].what) == (["failed"], "cluster")
        vendor.answer(cut="before_store")
        assert outcomes(await set_up(vendor)) == ["failed"]
        assert {row["method"] for row in vendor.requests()} == {"GET"}


@pytest.mark.parametrize("generation", ["8", "9"])
async def test_versioned_media_types_are_those_of_the_generation(generation: str) -> None:
    """With `generation` set both headers of a PUT say so; another generation is refused and told."""
    with cluster(generation) as vendor:
        assert set(outcomes(await set_up(vendor, generation=generation))) == {"done"}
        puts = [row for row in vendor.requests() if row["method"] == "PUT"]
        assert {row["headers"]["content-type"] for row in puts} == {
            f"application/vnd.elasticsearch+json; compatible-with={generation}"
        }
    with cluster("opensearch") as vendor:
        assert outcomes(await set_up(vendor, generation=generation)) == ["failed"]


@pytest.mark.parametrize("product", ["kibana", "opensearch"])
@pytest.mark.parametrize("target", TARGETS)
async def test_data_views_are_imported_once(product: str, target: str) -> None:
    """All documents, workflows, jobs and tests have a view with a fixed id; the second run imports nothing."""
    with (
        cluster("opensearch" if product == "opensearch" else "9") as vendor,
        FakeVendor("kibana", product=product) as kibana,
    ):
        settings = {"kibana_url": f"{kibana.url}/s/ci", "target": target}
        dry = await set_up(vendor, dry_run=True, **settings)
        assert kibana.stored() == []
        first = await set_up(vendor, **settings)
        again = await set_up(vendor, **settings)
        stored = {row["record_id"]: row["native"] for row in kibana.stored()}
    views = [step for step in first if step.what.startswith("Kibana")]
    assert outcomes(dry) == outcomes(first)
    assert set(outcomes(again)) == {"unchanged"}
    assert [step.outcome for step in views] == ["done"] * 4
    assert set(stored) == {f"headgate-circleci{end}" for end in ("", "-workflows", "-jobs", "-tests")}
    assert {native["space"] for native in stored.values()} == {"ci"}
    jobs = stored["headgate-circleci-jobs"]["attributes"]["title"]
    assert jobs == ("circleci-job-*" if target == "month" else "logs-circleci.job-*")


def test_data_views_find_the_documents() -> None:
    """The view of everything matches every index or stream that documents go to."""
    for target in TARGETS:
        layout = Layout(target, "default", "circleci", 0)
        patterns = data_views(layout)[0]["attributes"]["title"].split(",")
        lines = _encoded(target, golden_batch()).splitlines()[::2]
        for name in {orjson.loads(line)["create"]["_index"] for line in lines}:
            assert any(fnmatchcase(name, pattern) for pattern in patterns), name
