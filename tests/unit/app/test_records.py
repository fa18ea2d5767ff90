"""The `records` section of a sink: read, refused with a place and a way out, published, shown without its key."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from tests.unit.app.test_settings import CANARY, GOOD, REGISTRY, problems, read

from headgate.app.logs import secrets_of
from headgate.app.reload import compare
from headgate.app.schema import config_schema
from headgate.core.record import decode_record
from headgate.testing.sink_harness import make_entry

SECTION = """\
    records:
      kinds: [workflow, job]
      projects: {include: ["gh/acme/*"], exclude: ["*/sandbox"]}
      branches: {include: [main]}
      tags: {team: platform}
      tag_rules: [{match: {project: "*/web"}, set: {service: shop}}]
      privacy: {"circleci.author.*": hash, "*.subject": drop}
      hash_key: "${TOKEN}"
      redact: ['ACME-[0-9]{4}']
      max_text: 4KiB
"""
WITH = GOOD.replace(
    '{type: loki, url: "http://loki:3100"}', '\n    type: loki\n    url: "http://loki:3100"\n' + SECTION
)


def test_a_section_becomes_a_shaper(tmp_path: Path) -> None:
    """Every key does what it says."""
    shaper = read(tmp_path, WITH).records()["loki"].shaper()
    entries = [
        make_entry(1, circleci__author__login="octocat", circleci__commit__subject="x", circleci__executor="ACME-2026"),
        make_entry(2, kind="step"),
        make_entry(3, project="gh/acme/sandbox"),
        make_entry(4, vcs__ref__head__name="develop"),
    ]
    result = shaper.shape(entries, None)
    (kept,) = result.keep
    found = decode_record(kept.body).attributes
    assert (found["tag.team"], found["tag.service"], found["circleci.executor"]) == ("platform", "shop", "***")
    assert str(found["circleci.author.login"]).startswith("hmac:")
    assert "circleci.commit.subject" not in found
    assert [by for _, by in result.filtered] == ["kinds", "projects", "branches"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kinds:", "kind:", 'headgate.yaml:12: sinks.loki.records.kind: unknown key; did you mean "kinds"?'),
        ("workflow, job", "workflo", "headgate.yaml:12: sinks.loki.records.kinds.0: must be 'pipeline', 'workflow'"),
        (
            "exclude:",
            "excludes:",
            'headgate.yaml:13: sinks.loki.records.projects.excludes: unknown key; did you mean "exc',
        ),
        ("[main]", "main", "headgate.yaml:14: sinks.loki.records.branches.include: must be a list"),
        ("{team: platform}", "{Team: a}", "headgate.yaml:15: sinks.loki.records.tags: a tag's name has lower-case"),
        ("{team: platform}", '{team: ""}', "headgate.yaml:15: sinks.loki.records.tags: a tag's value has 1 to 200"),
        ("{project: ", "{projects: ", 'records.tag_rules.0.match.projects: unknown key; did you mean "project"?'),
        ("set: {service", "sets: {service", 'records.tag_rules.0.sets: unknown key; did you mean "set"?'),
        (
            "hash,",
            "hide,",
            "headgate.yaml:17: sinks.loki.records.privacy.circleci.author.*: must be 'drop', 'hash' or 'keep'",
        ),
        ('      hash_key: "${TOKEN}"\n', "", "headgate.yaml:11: sinks.loki.records: `hash` needs hash_key: a secret"),
        (
            "circleci.author.*",
            "circleci.auther.login",
            "circleci.auther.login matches no attribute; did you mean circleci.author.login?",
        ),
        ('hash_key: "${TOKEN}"', "hash_key: short", "hash_key is short enough to be found by trying"),
        ("[workflow, job]", "[]", "kinds is empty, so nothing would be sent"),
        ('["gh/acme/*"]', "[acme/web]", "acme/web is no project; write the whole slug"),
        ("'ACME-[0-9]{4}'", "'(a+)+'", "headgate.yaml:19: sinks.loki.records.redact: pattern 1: could take too long"),
        ("4KiB", "8", "headgate.yaml:20: sinks.loki.records.max_text: must be greater than or equal to 16"),
        ("    records:", "    record:", 'headgate.yaml:11: sinks.loki.record: unknown key; did you mean "records"?'),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """File, line, key, and what to write instead."""
    assert old in WITH
    told = problems(tmp_path, WITH.replace(old, new, 1))
    assert any(expected in line for line in told), told


def test_mistakes_of_the_sink_are_told_beside_those_of_its_records(tmp_path: Path) -> None:
    """Both at once."""
    told = problems(tmp_path, WITH.replace("kinds:", "kind:").replace("    url:", "    ulr:"))
    assert any("sinks.loki.ulr" in line for line in told)
    assert any("sinks.loki.records.kind" in line for line in told)


def test_the_section_belongs_to_sinks_alone(tmp_path: Path) -> None:
    """A source has none."""
    told = problems(tmp_path, GOOD.replace('    token: "${TOKEN}"\n', "    records: {}\n"))
    assert any("sources.circleci.records: unknown key" in line for line in told)


def test_the_schema_has_it(tmp_path: Path) -> None:
    """Editors know the section and refuse what is not in it."""
    validator = jsonschema_rs.Draft202012Validator(config_schema(REGISTRY))
    validator.validate(yaml.safe_load(WITH))
    with pytest.raises(jsonschema_rs.ValidationError):
        validator.validate(yaml.safe_load(WITH.replace("kinds:", "kind:")))
    assert read(tmp_path, GOOD).records()["loki"].shown() == {}


def test_it_is_shown_without_its_key(tmp_path: Path) -> None:
    """`status` has what was written but the key, and the number of patterns; logs learn to hide the key."""
    section = read(tmp_path, WITH).records()["loki"]
    shown = section.shown()
    assert CANARY not in repr(shown)
    assert CANARY not in repr(section)
    assert shown["redact"] == 1
    assert shown["tag_rules"] == [{"match": {"project": "*/web"}, "set": {"service": "shop"}}]
    assert set(shown) == {*yaml.safe_load(SECTION)["records"]} - {"hash_key"}
    assert CANARY in set(secrets_of(section))


def test_a_changed_section_is_a_changed_sink(tmp_path: Path) -> None:
    """A reload takes it in at once."""
    old, new = read(tmp_path, WITH), read(tmp_path, WITH.replace("4KiB", "1KiB"))
    assert compare(old, new).words() == ["sinks.loki"]
