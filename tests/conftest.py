"""For every test: what is encoded as a record must be what was published (S02), and processes start quickly."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema_rs
import pytest

from headgate.core import record

# How long something takes is for benchmarks to say: an example that met a busy machine is no failure.
hypothesis.settings.register_profile("headgate", deadline=None)
hypothesis.settings.load_profile("headgate")

# Hundreds of processes are started: each would compile the whole product where the environment forbids to keep that.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nothing here talks to anybody outside; reading the usual authorities takes 13 ms of CPU time for every client.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("data") / "authority.pem")

_SPEC = Path(__file__).parents[1] / "docs" / "spec" / f"record-{record.SCHEMA_VERSION}.json"
_PUBLISHED = jsonschema_rs.Draft202012Validator(json.loads(_SPEC.read_text())["envelope"])


class _Validating:
    """The encoder, with a look at what it wrote."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode(self, value: record.Record) -> bytes:
        body: bytes = self._encoder.encode(value)
        _PUBLISHED.validate(json.loads(body))
        return body


@pytest.fixture(autouse=True, scope="session")
def _records_are_as_published() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "_encoder", _Validating(record._encoder))
        yield
