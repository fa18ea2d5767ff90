"""Reading the configuration: every problem with its place, overrides, references, and secrets that stay secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from pydantic import Field

from headgate.app.schema import config_schema
from headgate.app.sections import RetentionSettings, split_address
from headgate.app.settings import Configuration, load
from headgate.core.errors import ConfigError
from headgate.core.ports import Plugin
from headgate.plugins import (
    Duration,
    PluginConfig,
    Registry,
    Secret,
    SourceConfig,
    duration_field,
    load_plugins,
    reveal,
)

CANARY = "canary-7f3a9-secret"


class Source(SourceConfig):
    """Stands in for a real source."""

    token: Secret | None = None
    base_url: str = "https://circleci.com"
    orgs: tuple[str, ...] = ()


class Sink(PluginConfig):
    """Stands in for a real sink."""

    url: str
    api_key: Secret | None = None
    path: str = "-"
    timeout: Duration = duration_field("30s", "How long.")
    size: int = Field(default=1, ge=1)


REGISTRY = Registry(
    {
        ("source", "circleci"): Plugin("source", "circleci", Source, None),
        ("sink", "loki"): Plugin("sink", "loki", Sink, None),
        ("sink", "jsonl"): Plugin(
            "sink", "jsonl", type("Jsonl", (PluginConfig,), {"__annotations__": {"path": str}}), None
        ),
        ("notifier", "slack"): Plugin("notifier", "slack", Sink, None),
    }
)
GOOD = """\
version: 1
store: {url: "sqlite:///tmp/x.db", max_bytes: 2GiB}
sources:
  circleci:
    type: circleci
    token: "${TOKEN}"
sinks:
  loki: {type: loki, url: "http://loki:3100"}
"""


def read(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Configuration:
    file = tmp_path / "headgate.yaml"
    file.write_text(text)
    return load(REGISTRY, file=file, environ={"TOKEN": CANARY, **(environ or {})})


def problems(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, environ)
    assert CANARY not in str(caught.value)
    return tuple(problem.replace(str(tmp_path) + "/", "") for problem in caught.value.problems)


def test_a_good_file_gives_plugins_with_validated_options(tmp_path: Path) -> None:
    """References are resolved, sizes and durations read."""
    configuration = read(tmp_path, GOOD)
    assert CANARY == reveal(configuration.sources["circleci"].config.token)
    assert 2 * 2**30 == configuration.settings.store.max_bytes
    assert Path("/tmp/x.db") == configuration.settings.store.path
    assert (30_000, "now") == (configuration.sinks["loki"].config.timeout, configuration.sinks["loki"].start)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("version: 1\n", "", "headgate.yaml:1: version: required, and missing"),
        ("max_bytes: 2GiB", "max_byte: 2", 'headgate.yaml:2: store.max_byte: unknown key; did you mean "max_bytes"?'),
        ("max_bytes: 2GiB", "max_bytes: much", "headgate.yaml:2: store.max_bytes: "),
        ("sqlite:///tmp/x.db", "mysql://x", "headgate.yaml:2: store.url: write sqlite:///"),
        ("sources:", "sorces:", 'headgate.yaml:3: sorces: unknown key; did you mean "sources"?'),
        ("    token:", "    tokn:", 'headgate.yaml:6: sources.circleci.tokn: unknown key; did you mean "token"?'),
        (
            "type: circleci",
            "type: circlci",
            "headgate.yaml:5: sources.circleci.type: no source of type circlci; did you mean circleci?",
        ),
        ("    type: circleci\n", "", "headgate.yaml:4: sources.circleci.type: required, and missing; one of: circleci"),
        ('url: "http://loki:3100"', "timeout: soon", "headgate.yaml:8: sinks.loki.url: required, and missing"),
        ('url: "http://loki:3100"', "url: x, timeout: soon", "headgate.yaml:8: sinks.loki.timeout: not a duration"),
        ('url: "http://loki:3100"', "url: x, size: 0", "headgate.yaml:8: sinks.loki.size: "),
        (
            'url: "http://loki:3100"',
            "url: x, strt: now",
            'headgate.yaml:8: sinks.loki.strt: unknown key; did you mean "start"?',
        ),
        (
            'url: "http://loki:3100"',
            "url: x, start: soon",
            "headgate.yaml:8: sinks.loki.start: write now, retained, or a time",
        ),
        ("  loki:", "  Loki:", "headgate.yaml:8: sinks.Loki: a name has lower-case letters"),
        (
            "${TOKEN}",
            "${NOT_SET}",
            "headgate.yaml:6: sources.circleci.token: ${NOT_SET}: environment variable NOT_SET is not set",
        ),
        ("${TOKEN}", "${file:nowhere}", "headgate.yaml:6: sources.circleci.token: ${file:nowhere}: No such file"),
        (
            "${TOKEN}",
            "${credential:x}",
            "headgate.yaml:6: sources.circleci.token: ${credential:x}: no credentials directory",
        ),
        ("${TOKEN}", "${not a name}", "headgate.yaml:6: sources.circleci.token: ${not a name}: not a reference"),
        (
            "version: 1",
            "version: 1\nhttp: {listen: 0.0.0.0:80}",
            "headgate.yaml:2: http.listen: 0.0.0.0 is reachable from other machines",
        ),
        ("version: 1", "version: 1\nhttp: {listen: here}", "headgate.yaml:2: http.listen: write host:port"),
        (
            "version: 1",
            "version: 1\nhttp: {listen: '[::1]:99999'}",
            "headgate.yaml:2: http.listen: there is no port 99999",
        ),
        (
            "version: 1",
            "version: 1\nlog: {level: loud}",
            "headgate.yaml:2: log.level: must be 'debug', 'info', 'warning' or 'error'",
        ),
        (
            "version: 1",
            "version: 1\nalerts: {routes: [{to: [ops]}]}",
            "headgate.yaml:2: alerts.routes.0.to: no notifier called ops",
        ),
        ("version: 1", "version: 2", "headgate.yaml:1: version: this Headgate reads version 1; update Headgate, or"),
        ("version: 1", "version: one", "headgate.yaml:1: version: write `version: 1`"),
        ("version: 1\n", "", "headgate.yaml:1: version: required, and missing; write `version: 1`"),
        ('token: "${TOKEN}"', "orgs: 5", "headgate.yaml:6: sources.circleci.orgs: must be a list: write [one, two]"),
        ("version: 1", "version: 1\nhttp: 7", "headgate.yaml:2: http: must be keys and values: write {key: value}"),
        ("version: 1", "version: 1\nlog: {level: 5}", "headgate.yaml:2: log.level: must be 'debug'"),
        ("2GiB", "lots", "headgate.yaml:2: store.max_bytes: not a size: write bytes, or a number and a unit"),
        ("version: 1", "version: 1\nversion: 1", "headgate.yaml:2: version: written twice"),
        ("version: 1", "version: [1", "headgate.yaml:2: not valid YAML"),
        (GOOD, "- 1\n", "headgate.yaml:1: expected keys and values"),
    ],
    ids=lambda value: value[:28] if isinstance(value, str) else None,
)
def test_a_wrong_file_is_told_with_line_key_and_fix(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """File, line, key path, what is wrong, nearest known key."""
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(problem.startswith(expected) for problem in found), found


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Nobody mends a file one error at a time."""
    text = GOOD.replace("max_bytes", "max_byte").replace("token", "tokn").replace('url: "http', 'ulr: "http')
    assert len(problems(tmp_path, text)) == 4


def test_environment_overrides_any_key_also_inside_plugins(tmp_path: Path) -> None:
    """`HEADGATE__SECTION__KEY`, in any case, lists as JSON, new sinks too."""
    configuration = read(
        tmp_path,
        GOOD,
        {
            "HEADGATE__SOURCES__CIRCLECI__BASE_URL": "http://127.0.0.1:1",
            "HEADGATE__SOURCES__CIRCLECI__ORGS": '["gh/acme"]',
            "HEADGATE__SOURCES__CIRCLECI__POLL__EVERY": "5s",
            "HEADGATE__SOURCES__CIRCLECI__TOKEN": "12345678",
            "HEADGATE__HTTP__LISTEN": "127.0.0.1:0",
            "HEADGATE__SINKS__SPARE__TYPE": "loki",
            "HEADGATE__SINKS__SPARE__URL": "http://spare",
        },
    )
    source = configuration.sources["circleci"].config
    assert ("http://127.0.0.1:1", ("gh/acme",), 5000) == (source.base_url, source.orgs, source.poll.every)
    assert reveal(source.token) == "12345678"
    assert configuration.settings.http.listen == "127.0.0.1:0"
    assert configuration.sinks["spare"].config.url == "http://spare"


def test_a_problem_of_an_override_names_the_variable(tmp_path: Path) -> None:
    """The file is not to blame."""
    found = problems(tmp_path, GOOD, {"HEADGATE__SINKS__LOKI__TIMEOUT": "soon"})
    assert found[0].startswith("HEADGATE__SINKS__LOKI__TIMEOUT: sinks.loki.timeout: not a duration")


def test_references_to_files_credentials_defaults_and_escapes(tmp_path: Path) -> None:
    """The ways to keep a secret out of the file."""
    (tmp_path / "secret").write_text("from-file\n")
    (tmp_path / "cred").write_text("from-cred\n")
    text = (
        GOOD
        + """\
  a: {type: loki, url: "${file:secret}", api_key: "${credential:cred}"}
  b: {type: loki, url: "${UNSET:-http://x}/$${LITERAL}"}
"""
    )
    sinks = read(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).sinks
    assert ("from-file", "from-cred") == (sinks["a"].config.url, reveal(sinks["a"].config.api_key))
    assert sinks["b"].config.url == "http://x/${LITERAL}"


def test_a_reference_never_changes_the_structure(tmp_path: Path) -> None:
    """Interpolation happens after parsing and into strings only."""
    hostile = "x}\nsinks: {evil: {type: loki}}"
    configuration = read(tmp_path, GOOD.replace("http://loki:3100", "${HOSTILE}"), {"HOSTILE": hostile})
    assert configuration.sinks["loki"].config.url == hostile
    assert list(configuration.sinks) == ["loki"]


def test_secrets_are_not_in_any_text_of_a_configuration(tmp_path: Path) -> None:
    """repr, str and dumps are safe to log."""
    configuration = read(tmp_path, GOOD + '  a: {type: loki, url: x, api_key: "${TOKEN}"}\n')
    assert CANARY not in repr(configuration)
    assert CANARY not in str(configuration.settings)


def test_no_file_works_with_token_and_orgs(tmp_path: Path) -> None:
    """One token, one command: the state directory and records on stdout."""
    environ = {"CIRCLECI_TOKEN": CANARY, "CIRCLECI_ORGS": "gh/a, gh/b", "XDG_STATE_HOME": str(tmp_path)}
    configuration = load(REGISTRY, file=None, environ=environ)
    assert ("gh/a", "gh/b") == configuration.sources["circleci"].config.orgs
    assert tmp_path / "headgate" / "headgate.db" == configuration.settings.store.path
    assert configuration.sinks["stdout"].config.path == "-"
    assert load(REGISTRY, file=None, environ=environ, orgs=["gh/c"]).sources["circleci"].config.orgs == ("gh/c",)


def test_no_file_and_no_token_says_what_to_do(tmp_path: Path) -> None:
    """Three ways out."""
    with pytest.raises(ConfigError, match=r"CIRCLECI_TOKEN is not set.*-c.*headgate demo"):
        load(REGISTRY, file=None, environ={"HOME": str(tmp_path)})


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    """The file's name and the system's word."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load(REGISTRY, file=tmp_path / "nowhere.yaml", environ={})


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    """Aliases that repeat themselves ten times over nine levels."""
    levels = ["version: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"k{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too large" in problems(tmp_path, "\n".join(levels))[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), (":8080", ("0.0.0.0", 8080))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    """Host and port."""
    assert expected == split_address(text)


def test_the_schema_accepts_a_good_file_and_refuses_a_typing_mistake() -> None:
    """Editors can rely on it."""
    validator = jsonschema_rs.Draft202012Validator(config_schema(REGISTRY))
    assert [] == [error.message for error in validator.iter_errors(yaml.safe_load(GOOD.replace("2GiB", "2GiB")))]
    assert not validator.is_valid(yaml.safe_load(GOOD.replace("url:", "ulr:")))


def test_the_schema_of_the_real_plugins_is_valid() -> None:
    """Every plugin's options are in it."""
    schema = config_schema(load_plugins())
    jsonschema_rs.meta.validate(schema)
    assert {"source_circleci", "sink_loki", "sink_jsonl"} <= set(schema["$defs"])


def test_short_of_space_what_is_done_with_goes_after_an_hour() -> None:
    """Merged webhooks, the log, and webhooks of removed sources: a shorter time is not made longer."""
    retention = RetentionSettings.model_validate({"log": "7d", "inbox": "10m"})
    roomy, tight = retention.by_part(tight=False), retention.by_part(tight=True)
    assert {"log": 7 * 86_400_000, "inbox": 600_000} == {name: roomy[name] for name in ("log", "inbox")}
    assert tight == {**roomy, "log": 3_600_000, "inbox_parked": 3_600_000}


def test_sums_are_kept_for_ever_or_longer_than_facts() -> None:
    """Raw and rolled-up periods are set apart; sums that went before their facts would say too little."""
    assert "rollups" not in RetentionSettings().by_part(tight=False)
    assert RetentionSettings.model_validate({"rollups": "900d"}).by_part(tight=True)["rollups"] == 900 * 86_400_000
    with pytest.raises(ValueError, match="as long as facts"):
        RetentionSettings.model_validate({"facts": "90d", "rollups": "30d"})


def test_files_are_validated_when_the_file_is_read(tmp_path: Path) -> None:
    """Exports and reports: line, key, and the nearest of what is valid."""
    text = """
exports:
  nightly: {table: rnus, at: 0 6 * * *, to: out}
  Odd: {table: runs, every: 1h, to: out}
reports:
  weekly: {to: out, mail: [teem], evry: week}
  monthly: {to: out, mail: [teem], every: month, time_zone: Europe/Berln}
alerts: {notifiers: {team: {type: jsonl, path: x}}}
"""
    found = "\n".join(problems(tmp_path, f"version: 1\n{text}"))
    for said in (
        'exports.nightly.table: no table called rnus; did you mean "runs"?',
        "exports.Odd",
        'reports.weekly.evry: unknown key; did you mean "every"?',
        "reports.monthly.time_zone",
    ):
        assert said in found, found
    text = "reports: {weekly: {to: out, mail: [teem]}}\nalerts: {notifiers: {team: {type: jsonl, path: x}}}"
    (one,) = [line for line in problems(tmp_path, f"version: 1\n{text}") if "reports" in line]
    assert 'reports.weekly.mail: no notifier called teem; did you mean "team"?' in one
