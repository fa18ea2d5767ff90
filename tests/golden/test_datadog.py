"""What Datadog is sent of a record of each kind; UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from tests.golden.test_sinks import batch

from headgate.core.ports import HttpSignal, LogEntry
from headgate.sinks import datadog
from headgate.testing.sink_harness import build_sink, make_entry

DATA = Path(__file__).parent / "data" / "sinks"
NAMES = ("logs", "metrics", "distributions", "events", "ci", "dora")
SHA = "1dc6aa69429bff4806ad6afe58d3d8f57e25973e"
GIT = {
    "circleci__author__email": "octocat@example.org",
    "circleci__author__name": "The Octocat",
    "vcs__ref__head__revision": SHA,
    "vcs__ref__head__type": "branch",
    "vcs__repository__url__full": "https://github.com/acme/web",
}


def records() -> list[LogEntry]:
    """Those of every sink's golden file, and those that only Datadog has a form of its own for."""
    return [
        *batch(),
        make_entry(110, kind="workflow", **GIT, circleci__rerun_of="00000000-0000-4000-8000-000000000001"),
        make_entry(111, **GIT, circleci__resource_class="large", circleci__job__type="build", tag__team="web"),
        make_entry(112, circleci__job__type="approval", circleci__approval_wait_ms=60_000),
        make_entry(113, kind="usage", circleci__credits__compute=120, circleci__job__cpu__median_pct=12.5),
        make_entry(114, kind="deployment", deployment__name="shop", deployment__status="succeeded", **GIT),
        make_entry(115, kind="deployment", deployment__name="shop", deployment__status="failed"),
        make_entry(116, kind="alert", headgate__alert__rule="SlowJob", headgate__alert__state="resolved"),
        make_entry(117, kind="workflow", headgate__status="success", circleci__trigger__type="webhook"),
        make_entry(118, circleci__resource_class="large", circleci__queue_ms=4200),
        make_entry(119, kind="usage", circleci__credits__compute=60, circleci__resource_class="large"),
        make_entry(120, kind="deployment", deployment__environment__name="production", deployment__status="succeeded"),
        make_entry(
            121,
            kind="test_result",
            test__case__name="adds up",
            test__case__result__status="fail",
            circleci__test__duration_ms=70,
        ),
        make_entry(122, kind="flaky_test", test__case__name="adds up"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_bodies_are_as_reviewed(name: str) -> None:
    """What is sent is what was reviewed; a change here changes what every user's queries see. A line a request."""
    settings = {"api_key": "k", "site": "datadoghq.eu", "tags": {"region": "eu"}, "compat_metrics": True}
    settings["signals"] = [name]
    (signal,) = build_sink(datadog.PLUGINS[0], settings).signals()
    assert isinstance(signal, HttpSignal)
    wanted = [entry for entry in records() if signal.kinds is None or entry.kind in signal.kinds]
    size = signal.limits.max_records
    requests = [signal.encode(wanted[n : n + size]) for n in range(0, len(wanted), size)]
    bodies = [one.body for one in requests if one is not None]
    body = b"\n".join(zlib.decompress(one) if name == "distributions" else one for one in bodies)
    path = DATA / f"datadog-{name}.json"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_bytes(body)
    assert path.read_bytes() == body
