"""The examples of notifiers can be used, and the local one is taken by the strict fakes that it names."""

import asyncio
import re
from pathlib import Path

import pytest
import yaml

from headgate.app.settings import load
from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, CallNotifier
from headgate.plugins import load_plugins
from headgate.testing.notifier_suite import NOW_MS, asked, exchange_with, notification, told
from headgate.testing.sinks import front_door

FOLDER = Path(__file__).parents[3] / "config" / "examples" / "notifiers"
FAKES = ("slack", "pagerduty", "teams", "github")


@pytest.mark.parametrize("name", ["headgate.yaml", "local.yaml"])
def test_an_example_is_valid(name):
    """With nothing but the environment variables that it names."""
    named = re.findall(r"\$\{([A-Z_]+)\}", (FOLDER / name).read_text("utf-8"))
    load(
        load_plugins(),
        file=FOLDER / name,
        environ={**dict.fromkeys(named, "http://made-up.example"), "CIRCLECI_ORGS": "gh/acme"},
    )


@pytest.mark.parametrize("fake", FAKES)
def test_the_local_example_reaches_its_fakes(fake):
    """Keys, paths and signatures are those of the fakes."""
    options = yaml.safe_load((FOLDER / "local.yaml").read_text("utf-8"))["alerts"]["notifiers"].values()
    (given,) = (one for one in options if one["type"] == fake)
    plugin = load_plugins().plugins["notifier", fake]
    config = plugin.config(**{name: value for name, value in given.items() if name != "type"})
    notifier = plugin.build("ops", config, BuildContext(SystemClock(), NullMetrics(), "headgate/0"))
    door, message = front_door(fake), told(notification())
    if isinstance(notifier, CallNotifier):
        asyncio.run(notifier.send(message, now_ms=NOW_MS, http=exchange_with(door)))
    else:
        notifier.interpret(asked(door, notifier.encode(message, now_ms=NOW_MS)), message)
    assert len(list(door.ledger.rows())) == 1
