"""What a configuration of sinks that cannot work is told at load: file, line, key and the cure, in people's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.app.settings import Configuration, load
from headgate.core.errors import ConfigError
from headgate.plugins import load_plugins

AUTHORITY = Path(__file__).parents[1] / "deliver" / "data" / "ca.pem"


def read(tmp_path: Path, **settings: object) -> Configuration:
    """Load a file with one sink, whose keys begin in line 6."""
    lines = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in settings.items())
    file = tmp_path / "headgate.yaml"
    file.write_text(f"version: 1\nstore:\n  url: sqlite:///tmp/x.db\nsinks:\n  far:\n{lines}", encoding="utf-8")
    return load(load_plugins(), file=file, environ={})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"type": "loki", "url": "http://l/loki/api/v1/push"},
            "url: the path /loki/api/v1/push is appended; write http:",
        ),
        (
            {"type": "otlp", "url": "http://c:4318/v1/traces/"},
            "url: the path /v1/traces is appended; write http://c:4318,",
        ),
        (
            {"type": "otlp", "url": "http://c:4318/x/v1/logs"},
            "url: the path /v1/logs is appended; write http://c:4318/x,",
        ),
        ({"type": "otlp", "signals": [], "url": "http://c"}, "signals: must have at least 1 entry"),
        ({"type": "jsonl", "path": ""}, "path: must not be empty"),
        (
            {"type": "loki", "tenant": "a b", "url": "http://l"},
            "tenant: has a character or a length that is not allowed; ",
        ),
        (
            {"type": "loki", "ca_file": "/nowhere/ca.pem", "url": "http://l"},
            "ca_file: /nowhere/ca.pem cannot be read: No",
        ),
    ],
    ids=str,
)
def test_a_value_that_cannot_work_is_told_with_its_place(
    tmp_path: Path, settings: dict[str, object], expected: str
) -> None:
    """Before anything is sent, and not in pydantic's words."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **settings)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/headgate.yaml:7: sinks.far.{expected}")


def test_an_authority_must_be_a_certificate_in_pem(tmp_path: Path) -> None:
    """Another file is told by its path; a right one is taken."""
    wrong = tmp_path / "ca.der"
    wrong.write_bytes(b"\x30\x82\x01")
    with pytest.raises(ConfigError, match=r"headgate\.yaml:8: .*ca\.der holds no certificate in PEM form"):
        read(tmp_path, type="loki", url="http://l", ca_file=str(wrong))
    found = read(tmp_path, type="loki", url="http://l", ca_file=str(AUTHORITY))
    assert found.sinks["far"].config.ca_file == str(AUTHORITY)


def test_a_generation_may_be_written_as_a_number(tmp_path: Path) -> None:
    """YAML reads an unquoted 8 as a number; a number that is no generation is still refused."""
    assert read(tmp_path, type="elasticsearch", url="http://e", generation=8).sinks["far"].config.generation == "8"
    with pytest.raises(ConfigError, match="generation: must be 'auto', '8', '9' or 'opensearch'"):
        read(tmp_path, type="elasticsearch", url="http://e", generation=7)
