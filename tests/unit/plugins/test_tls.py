"""A file of certificates that cannot be used is told at load, wherever one may be given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.app.settings import Configuration, load
from headgate.core.errors import ConfigError
from headgate.plugins import load_plugins

AUTHORITY = Path(__file__).parents[1] / "deliver" / "data" / "ca.pem"
PARTS: dict[str, tuple[str, dict[str, object]]] = {
    "circleci": ("sources", {"type": "circleci", "token": "t", "orgs": ["gh/acme"]}),
    "loki": ("sinks", {"type": "loki", "url": "http://l"}),
    "webhook": ("alerts.notifiers", {"type": "webhook", "url": "http://n"}),
    "email": ("alerts.notifiers", {"type": "email", "host": "h", "sender": "a@b.example", "to": ["c@d.example"]}),
}


def read(tmp_path: Path, part: str, ca_file: Path) -> Configuration:
    """Load a file with one part, whose `ca_file` is in line 4."""
    section, options = PARTS[part]
    begin = json.dumps({"far": options})[:-2]
    text = f'{begin},\n"ca_file": "{ca_file}"\n}}}}'
    for name in reversed(section.split(".")):
        text = f'{{"{name}": {text}}}'
    file = tmp_path / "headgate.yaml"
    file.write_text(f'{{"version": 1,\n"store": {{"url": "sqlite:///tmp/x.db"}},\n{text[1:]}\n', encoding="utf-8")
    return load(load_plugins(), file=file, environ={})


@pytest.mark.parametrize("part", PARTS)
def test_a_file_that_is_not_there_is_told_with_its_key(tmp_path: Path, part: str) -> None:
    """File, line, key, what is wrong and what to give."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, part, tmp_path / "no.pem")
    place = f"{tmp_path}/headgate.yaml:4: {PARTS[part][0]}.far.ca_file: {tmp_path}/no.pem cannot be read: "
    assert caught.value.problems[0].startswith(f"{place}No such file or directory; give the path of a PEM file")


@pytest.mark.parametrize("part", PARTS)
def test_a_file_without_certificates_is_told_with_its_key(tmp_path: Path, part: str) -> None:
    """A certificate in DER, or a key."""
    wrong = tmp_path / "ca.der"
    wrong.write_bytes(b"\x30\x82\x01")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, part, wrong)
    place = f"{tmp_path}/headgate.yaml:4: {PARTS[part][0]}.far.ca_file: {wrong} holds no certificate in PEM form; "
    assert caught.value.problems[0].startswith(f"{place}give a file with a line `-----BEGIN CERTIFICATE-----`")


@pytest.mark.parametrize("part", PARTS)
def test_certificates_in_pem_are_taken(tmp_path: Path, part: str) -> None:
    """The path stays as it was given."""
    found = read(tmp_path, part, AUTHORITY)
    assert getattr(found, PARTS[part][0].rpartition(".")[2])["far"].config.ca_file == str(AUTHORITY)
