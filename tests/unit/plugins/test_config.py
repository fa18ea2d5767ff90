"""Field types that all configurations share."""

import json
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from headgate.plugins.config import (
    Duration,
    PluginConfig,
    Secret,
    SourceConfig,
    address_secrets,
    duration_field,
    format_duration,
    parse_duration,
    reveal,
)


@pytest.mark.parametrize(
    ("written", "ms", "shown"),
    [
        ("60s", 60_000, "1m"),
        ("5m", 300_000, "5m"),
        ("24h", 86_400_000, "1d"),
        ("30d", 2_592_000_000, "30d"),
        ("1.5h", 5_400_000, "90m"),
        (" 250 ms ", 250, "250ms"),
        ("2w", 1_209_600_000, "2w"),
        ("0s", 0, "0s"),
        (1500, 1500, "1500ms"),
    ],
)
def test_durations(written, ms, shown):
    """A number and a unit; held in milliseconds; shown in the shortest exact form, which reads back the same."""
    assert (ms, shown) == (parse_duration(written), format_duration(ms))
    assert parse_duration(shown) == ms


@pytest.mark.parametrize("written", ["", "60", "s", "-5s", "5 minutes", "1h30m", None, True, -1, 1.5, []])
def test_what_is_no_duration(written):
    """A bare number of unknown unit is refused, as is everything else."""
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_duration(written)


class _Config(PluginConfig):
    every: Duration = duration_field("60s", "How often.")
    token: Secret | None = None


def test_configuration_is_frozen_and_strict():
    """Unknown keys are errors, values cannot be changed, defaults are in milliseconds too."""
    config = _Config()
    assert config.every == 60_000
    with pytest.raises(ValidationError, match="evry"):
        _Config.model_validate({"evry": "5m"})
    with pytest.raises(ValidationError, match="frozen"):
        config.every = 1
    assert json.loads(_Config(every="90s").model_dump_json())["every"] == "90s"
    assert _Config.model_json_schema()["properties"]["every"]["default"] == "60s"


def test_secrets_are_told_to_nobody():
    """Not in a representation, not in a dump, not in a validation error; blanks around one are dropped."""
    config = _Config(token=" canary ")
    assert (reveal(config.token), reveal(None)) == ("canary", "")
    assert "canary" not in repr(config) + str(config) + config.model_dump_json()
    with pytest.raises(ValidationError) as error:
        _Config.model_validate({"token": ["canary"], "every": "canary"})
    assert "canary" not in str(error.value)
    with pytest.raises(ValidationError, match="is blank"):
        _Config(token="  ")


def test_source_defaults():
    """Every source is polled each minute, a day back at first, enriched in batches."""
    config = SourceConfig()
    assert (config.poll.enabled, config.poll.every, config.poll.initial) == (True, 60_000, 86_400_000)
    assert (config.profile, config.enrich_wait) == ("batch", 60_000)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://h/a?key=abc123", ["abc123"]),
        ("https://h/a?api_key=abc123&sig=s%2B1234", ["abc123", "s+1234"]),
        ("https://h/a?key=abc", []),
        ("https://h/a?version=2026-11&signal=metrics", []),
        ("https://h/services/a-token-of-20-letters", ["a-token-of-20-letters"]),
    ],
)
def test_tokens_and_keys_of_an_address_are_secrets(url, words):
    """Beside all of it and its query: a long word anywhere, and a value of the query named as a key."""
    parts = urlsplit(url)
    assert set(address_secrets(url)) - {url, parts.path.strip("/"), parts.query} == set(words)
