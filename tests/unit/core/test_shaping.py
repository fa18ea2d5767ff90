"""What one sink gets: filters, tags, privacy, redaction and length, always the same for the same record."""

from __future__ import annotations

import dataclasses
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.golden.test_sinks import batch

from headgate.core.fieldlist import FREE_TEXT, find_attribute
from headgate.core.patterns import compile_pattern
from headgate.core.ports import LogEntry
from headgate.core.record import KINDS, Attribute, decode_record, encode_record, record_schema
from headgate.core.redact import may_hold_token, redact_tokens
from headgate.core.shaping import FilteredBy, Globs, Shaper, ShapingRules, TagRule
from headgate.testing.sink_harness import make_entry

TOKEN = "ghp_a1B2c3D4e5F6a7B8c9D0e1F2a3B4c5D6e7F8"
SCHEMA = jsonschema_rs.Draft202012Validator(record_schema())


def shaped(entry: LogEntry, **rules: Any) -> dict[str, Attribute]:
    """The attributes of an entry that passes."""
    (kept,) = Shaper(ShapingRules(**rules)).shape([entry], None).keep
    return decode_record(kept.body).attributes


def held_by(entry: LogEntry, **rules: Any) -> FilteredBy | None:
    """The filter that holds an entry back, as delivery and `explain` find it."""
    shaper = Shaper(ShapingRules(**rules))
    result = shaper.shape([entry], None)
    found = result.filtered[0][1] if result.filtered else None
    assert found == shaper.filtered_by(entry.body)
    return found


def bare(entry: LogEntry, *names: str, **envelope: Any) -> LogEntry:
    """The entry without some attributes."""
    record = decode_record(entry.body)
    left = {name: value for name, value in record.attributes.items() if name not in names}
    body = encode_record(msgspec.structs.replace(record, attributes=left, **envelope))
    return msgspec.structs.replace(entry, body=body, project=envelope.get("project", entry.project) or "")


JOB = make_entry(1)
NO_BRANCH = bare(JOB, "vcs.ref.head.name")
ALERT = bare(make_entry(2, kind="alert"), "vcs.ref.head.name")
AMENDMENT = bare(make_entry(3, kind="amendment"), "vcs.ref.head.name")
OF_ORG = bare(make_entry(4, kind="insight"), project=None)


@pytest.mark.parametrize(
    ("entry", "rules", "expected"),
    [
        (JOB, {}, None),
        (JOB, {"kinds": frozenset({"job"})}, None),
        (JOB, {"kinds": frozenset({"workflow"})}, "kinds"),
        (JOB, {"projects": Globs(("gh/acme/*",))}, None),
        (JOB, {"projects": Globs(("gh/other/*",))}, "projects"),
        (JOB, {"projects": Globs(exclude=("*/web",))}, "projects"),
        (JOB, {"projects": Globs(("gh/acme/*",), ("gh/acme/web",))}, "projects"),
        (JOB, {"projects": Globs(("GH/acme/*",))}, "projects"),
        (OF_ORG, {"projects": Globs(("*",))}, "projects"),
        (OF_ORG, {"projects": Globs(exclude=("*",))}, None),
        (JOB, {"branches": Globs(("ma*",))}, None),
        (JOB, {"branches": Globs(("release/*",))}, "branches"),
        (JOB, {"branches": Globs(exclude=("main",))}, "branches"),
        (NO_BRANCH, {"branches": Globs(("*",))}, "branches"),
        (NO_BRANCH, {"branches": Globs(exclude=("*",))}, None),
        (ALERT, {"branches": Globs(("main",))}, None),
        (AMENDMENT, {"branches": Globs(("main",))}, None),
        (JOB, {"kinds": frozenset({"job"}), "branches": Globs(("x",)), "projects": Globs(("y",))}, "projects"),
    ],
)
def test_filters(entry: LogEntry, rules: dict[str, Any], expected: FilteredBy | None) -> None:
    """Each filter, with records that lack what it looks at."""
    assert expected == held_by(entry, **rules)


def test_what_nothing_applies_to_is_not_touched() -> None:
    """The very entries that were read are handed on: nothing configured, nothing found, or a kind nobody takes."""
    entries = [JOB, make_entry(5, circleci__commit__subject="Merge https://github.com/acme/web")]
    for rules in (ShapingRules(), ShapingRules(privacy={"circleci.author.*": "drop"}, max_text=4096)):
        assert all(one is other for one, other in zip(Shaper(rules).shape(entries, None).keep, entries, strict=True))
    result = Shaper(ShapingRules(kinds=frozenset({"step"}), tags={"team": "a"})).shape(entries, {"workflow"})
    assert list(result.keep) == entries
    assert not result.filtered


def test_tags_and_rules() -> None:
    """Static tags, then every rule that matches, the later winning; a rule sees what privacy hides afterwards."""
    rules = (
        TagRule({"project": "gh/acme/*", "branch": "main"}, {"team": "web", "stage": "production"}),
        TagRule({"job": "un*", "org": "gh/acme", "kind": "job", "workflow": "build"}, {"stage": "test"}),
        TagRule({"branch": "release/*"}, {"stage": "release"}),
    )
    found = shaped(JOB, tags={"team": "platform", "tier": "1"}, tag_rules=rules, privacy={"vcs.*": "drop"})
    assert "vcs.ref.head.name" not in found
    tags = {name: value for name, value in found.items() if name.startswith("tag.")}
    assert tags == {"tag.team": "web", "tag.tier": "1", "tag.stage": "test"}
    assert "tag.stage" not in shaped(NO_BRANCH, tag_rules=rules[:1])


def test_privacy_drops_and_hashes() -> None:
    """The last glob that matches wins; the same text under one key is the same hash, under another another."""
    entry = make_entry(
        1,
        circleci__author__login="octocat",
        circleci__author__name="Octo Cat",
        platform__user="octocat",
        circleci__job__contexts=["aws", "octocat"],
        circleci__stopped_at="2026-11-20T10:02:10.000Z",
    )
    rules: dict[str, Any] = {"privacy": {"circleci.author.*": "drop", "*.login": "hash", "platform.user": "hash"}}
    found = shaped(entry, **rules, hash_key=b"k")
    assert "circleci.author.name" not in found
    assert found["circleci.author.login"] == found["platform.user"]
    assert str(found["platform.user"]).startswith("hmac:")
    assert len(str(found["platform.user"])) == 5 + 32
    assert shaped(entry, **rules, hash_key=b"other")["platform.user"] != found["platform.user"]
    whole = shaped(entry, privacy={"*": "hash"}, hash_key=b"k")
    contexts = whole["circleci.job.contexts"]
    assert isinstance(contexts, list)
    assert contexts[1] == found["platform.user"]
    assert not {"circleci.stopped_at", "circleci.duration_ms"} & set(whole)
    assert shaped(entry, privacy={"*": "drop", "platform.*": "keep"}) == {"platform.user": "octocat"}


def test_tokens_go_from_free_text_alone() -> None:
    """By default, in texts and lists; not from names, and not where it is turned off."""
    entry = make_entry(
        1,
        circleci__commit__subject=f'Use "{TOKEN}" \\ here',
        circleci__job__messages=["fine", f"see https://me:pw@host/{TOKEN}"],
        circleci__resource_class=TOKEN,
    )
    found = shaped(entry)
    assert found["circleci.commit.subject"] == 'Use "***" \\ here'
    assert found["circleci.job.messages"] == ["fine", "see https://***@host/***"]
    assert found["circleci.resource_class"] == TOKEN
    assert Shaper(ShapingRules(tokens=False)).shape([entry], None).keep[0] is entry


def test_own_patterns_apply_to_every_text_but_times() -> None:
    """Matches become stars, in lists too; points in time stay what they are."""
    entry = make_entry(1, circleci__stopped_at="2026-11-20T10:02:10.000Z", circleci__job__contexts=["ACME-2026"])
    found = shaped(entry, redact=(compile_pattern("2026"), compile_pattern("un.t")))
    assert found["circleci.stopped_at"] == "2026-11-20T10:02:10.000Z"
    assert found["circleci.job.contexts"] == ["ACME-***"]
    assert found["cicd.pipeline.task.name"] == "***"


def test_long_text_is_cut_between_characters() -> None:
    """A list of what was cut tells of it; what fits stays."""
    entry = make_entry(1, circleci__commit__subject="ä" * 20, circleci__job__contexts=["a" * 33, "b"])
    found = shaped(entry, max_text=33)
    assert found["circleci.commit.subject"] == "ä" * 16
    assert found["circleci.job.contexts"] == ["a" * 33, "b"]
    assert found["headgate.truncated"] == [
        "cicd.pipeline.run.id",
        "cicd.pipeline.task.run.id",
        "circleci.commit.subject",
    ]


def test_a_secret_is_found_before_the_cut() -> None:
    """A token that the cut would have made unrecognizable is gone before."""
    found = shaped(make_entry(1, circleci__commit__subject=f"0123456789 {TOKEN}"), max_text=20)
    assert found["circleci.commit.subject"] == "0123456789 ***"


def test_what_is_no_record_is_never_sent() -> None:
    """Bytes that cannot be read where they must be are set aside; others go on."""
    odd = msgspec.structs.replace(JOB, body=b"{")
    result = Shaper(ShapingRules(tags={"team": "a"})).shape([odd, JOB], None)
    assert (list(result.broken), len(result.keep), list(result.filtered)) == ([odd], 1, [])


_GLOB = st.sampled_from(["*", "circleci.*", "circleci.author.*", "*.subject", "cicd.*", "vcs.*", "headgate.status"])
_ODD = st.sampled_from([f"a {TOKEN}", "ACME-12", "ä" * 90])
_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | _ODD
_RULES = st.builds(
    ShapingRules,
    kinds=st.frozensets(st.sampled_from(KINDS), max_size=2),
    projects=st.builds(Globs, st.sampled_from([(), ("gh/acme/*",)]), st.sampled_from([(), ("*/web",)])),
    branches=st.builds(Globs, st.sampled_from([(), ("m*",)]), st.sampled_from([(), ("main",)])),
    tags=st.dictionaries(st.sampled_from(["team", "service"]), st.just("a")),
    tag_rules=st.sampled_from([(), (TagRule({"branch": "m*"}, {"team": "b"}),)]),
    privacy=st.dictionaries(_GLOB, st.sampled_from(["drop", "hash", "keep"])),
    hash_key=st.just(b"key"),
    redact=st.sampled_from([(), (compile_pattern("ACME-[0-9]+"), compile_pattern("a"))]),
    tokens=st.booleans(),
    max_text=st.none() | st.integers(16, 100),
)


@st.composite
def _entries(draw: st.DrawFn) -> LogEntry:
    """A record of any kind with some of the free text that its kind can have."""
    kind = draw(st.sampled_from(KINDS))
    names = sorted(name for name in FREE_TEXT if find_attribute(kind, name))
    texts = draw(st.dictionaries(st.sampled_from([*names, "circleci.author.login"]), _TEXT, max_size=3))
    found: dict[str, Attribute] = {name.replace(".", "__"): text for name, text in texts.items()}
    return make_entry(1, kind=kind, circleci__job__contexts=draw(st.lists(_TEXT, min_size=1, max_size=3)), **found)


@given(st.lists(_entries(), max_size=4), _RULES)
@settings(deadline=None)
def test_shaping_keeps_its_promises(entries: list[LogEntry], rules: ShapingRules) -> None:
    """Every entry goes one way; the same twice; ids, kinds and order stay; what leaves is a record by the schema."""
    first, second = (Shaper(rules).shape(entries, None) for _ in range(2))
    assert [one.body for one in first.keep] == [one.body for one in second.keep]
    assert first.filtered == second.filtered
    seen = [*(getattr(one, "stored", one) for one in first.keep), *(one for one, _ in first.filtered)]
    assert sorted(map(id, seen)) == sorted(map(id, entries))
    for kept in first.keep:
        before, after = decode_record(getattr(kept, "stored", kept).body), decode_record(kept.body)
        assert msgspec.structs.replace(after, attributes={}) == msgspec.structs.replace(before, attributes={})
        assert (kept.record_id, kept.kind) == (after.id, after.kind)
        assert list(after.attributes) == sorted(after.attributes)
        SCHEMA.validate(msgspec.json.decode(kept.body))
        new = set(after.attributes) - set(before.attributes)
        assert all(name.startswith("tag.") or name == "headgate.truncated" for name in new)


@given(_entries())
@settings(deadline=None)
def test_looking_at_bytes_misses_no_token(entry: LogEntry) -> None:
    """The quick look finds whatever decoding the record would find."""
    by_bytes = shaped(entry)
    slowly = shaped(entry, privacy={"no.such.name": "drop"})
    assert by_bytes == slowly


_PARTS = [
    "AKIA",
    "A" * 16,
    TOKEN,
    "://a@",
    "x",
    "sk-",
    "glpat-",
    "a1" * 12,
    "eyJ",
    ".",
    " ",
    "-----BEGIN PRIVATE KEY-----",
]


@given(st.lists(st.sampled_from(_PARTS)))
@settings(deadline=None)
def test_whatever_is_taken_out_holds_a_hint(parts: list[str]) -> None:
    """What the bytes are searched for stands in everything that is a token."""
    text = "".join(parts)
    if redact_tokens(text) != text:
        body = msgspec.json.encode(text)
        assert may_hold_token(body, 0, len(body))


def test_every_golden_record_survives_every_rule() -> None:
    """Full rules leave valid records of all kinds."""
    rules = ShapingRules(
        tags={"team": "a"}, privacy={"circleci.*": "hash"}, hash_key=b"k", redact=(compile_pattern("b"),), max_text=16
    )
    for kept in Shaper(rules).shape(batch(), None).keep:
        SCHEMA.validate(msgspec.json.decode(kept.body))


def test_the_key_does_not_show() -> None:
    """Neither as text nor in an error."""
    assert "canary" not in repr(dataclasses.replace(ShapingRules(), hash_key=b"canary"))
