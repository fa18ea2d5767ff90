from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headgate_beacon import PLUGINS

from headgate.testing.sink_suite import CANARY, Far, SinkContract, Subject
from headgate.testing.sinks import FakeVendor


class TestBeacon(SinkContract):
    """Beacon keeps the rules SINK-01 to SINK-06."""

    subject = Subject(plugin=PLUGINS[0], secret_settings={"token": CANARY})

    @contextmanager
    def far(self, directory: Path) -> Iterator[Far]:
        """A receiver that wants the right token."""
        with FakeVendor("http", bearer="a-long-token") as vendor:
            yield Far({"url": vendor.url, "token": "a-long-token"}, vendor.record_ids)
