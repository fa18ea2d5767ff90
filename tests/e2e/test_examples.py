"""Every local.yaml of a sink in config/examples, in one daemon: what is handed out to try really works."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.harness import Daemon, TwinProcess, headgate, wait_until, write_config

from headgate.testing.sinks import FakeVendor

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
# That of notifiers is tried by tests/unit/examples.
LOCAL = sorted(path for path in EXAMPLES.glob("*/local.yaml") if path.parent.name != "notifiers")


def moved(value: Any, port: str, url: str) -> Any:
    """The same with another address for the fake."""
    if isinstance(value, dict):
        return {key: moved(one, port, url) for key, one in value.items()}
    if isinstance(value, list):
        return [moved(one, port, url) for one in value]
    return value.replace(port, url) if isinstance(value, str) else value


def test_every_local_example_delivers(tmp_path: Path) -> None:
    """Twin and fakes as the README starts them: `check` finds nothing wrong, and each fake keeps something."""
    twin = TwinProcess(
        tmp_path, *("--token", "twin-token", "--days", "1", "--projects", "2", "--runs-per-day", "20", "--live")
    )
    with ExitStack() as stack:
        stack.enter_context(twin)
        sinks: dict[str, Any] = {}
        vendors = {}
        for path in LOCAL:
            example = yaml.safe_load(path.read_text())
            name = path.parent.name
            vendor = vendors[name] = stack.enter_context(FakeVendor(name))
            port = "http://127.0.0.1:4318" if name == "otlp" else "http://127.0.0.1:8962"
            sinks |= {f"{name}-{key}": moved(one, port, vendor.url) for key, one in example["sinks"].items()}
            (source,) = example["sources"].values()
            assert source["token"] == "twin-token"
        source = {**source, "base_url": twin.url, "orgs": twin.about()["orgs"]}
        config = write_config(tmp_path, sinks, {"circleci": source})
        checked = headgate("check", "-c", str(config), "--json")
        assert checked.returncode == 0, checked.stdout
        with Daemon(config) as daemon:
            for name, vendor in vendors.items():
                wait_until(vendor.stored, f"something at {name}", 60)
            states = {
                f"{sink}.{signal}": one["state"]
                for sink, signals in daemon.status()["sinks"].items()
                for signal, one in signals["signals"].items()
            }
        assert set(states.values()) == {"ok"}, states
    assert len(LOCAL) == 7
