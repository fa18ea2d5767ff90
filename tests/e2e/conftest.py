"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.harness import ancient_loki

from headgate.testing.sinks import FakeVendor


@pytest.fixture
def loki() -> Iterator[FakeVendor]:
    """A strict Loki that takes lines of any age."""
    with FakeVendor("loki", **ancient_loki()) as fake:
        yield fake
