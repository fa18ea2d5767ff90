"""A source on a twin whose history is read through its feeds into a store of its own, as a daemon does it."""

import asyncio

from headgate.collect import SourceSettings
from headgate.collect.backfill import Backfiller
from headgate.collect.intake import Intake
from headgate.collect.requests import BACKFILLS, BackfillRequest
from headgate.collect.state import Polled
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.core.times import DAY_MS, parse_ms
from headgate.plugins import build_plugin, load_plugins
from headgate.sources.circleci import CircleCIConfig
from headgate.store import MemoryStore
from headgate.testing.circleci import Knobs, Options

NOW = parse_ms("2026-10-12T00:00:00Z")
WIDE = {"per_second": 100_000, "burst": 100_000}
# As much goes wrong as the twin can, so that a difference would show.
LIVELY = Knobs(tag_rate=0.1, cancel_rate=0.1, infrastructure_fail_rate=0.02, rerun_rate=0.6, insights_delay=0)


def history(**fields):
    """Options of a twin that stands at midnight."""
    return Options(
        **{"now_ms": NOW, "seed": 7, "days": 6, "projects": 1, "runs_per_day": 12.0, "knobs": LIVELY} | fields
    )


class Bench:
    """A store, and a source that tells it the twin's history. `kill` and `start` are a restart."""

    def __init__(self, twin, metrics=None, **fields):
        self.twin, self.metrics = twin, metrics or NullMetrics()
        self.clock = ManualClock(parse_ms(twin.about()["now"]))
        self.fields = {"poll": {"initial": "90d"}, "host": "circleci.com"} | fields
        self.store = MemoryStore(clock=self.clock)

    async def __aenter__(self):
        await self.store.open()
        self.start()
        return self

    async def __aexit__(self, *_exc):
        await self.source.aclose()

    def start(self):
        """A process begins: nothing but the store is left of the one before."""
        usage = {"poll": "0s"} | self.fields.get("usage_export", {})
        settings = {"token": self.twin.token, "base_url": self.twin.base_url, "orgs": self.twin.about()["orgs"]}
        config = CircleCIConfig.model_validate(settings | {"budget": WIDE} | self.fields | {"usage_export": usage})
        plugin = load_plugins().find("source", "circleci")
        self.source = build_plugin(plugin, "ci", config, BuildContext(self.clock, self.metrics, "headgate/test"))
        # No time passes in a test but the clock's.
        self.source._export_jobs.limit._sleep = self.source._feeds.export._sleep = self.sleep
        self.polled = Polled(self.source, SourceSettings(initial_ms=90 * DAY_MS), self.clock, self.metrics)
        intake = Intake(self.store, clock=self.clock, metrics=self.metrics)
        self.backfiller = Backfiller(self.store, intake, self.polled, self.source, sleep=self.sleep)

    async def sleep(self, seconds):
        """Time passes here and there."""
        if seconds <= 0:
            return await asyncio.sleep(0)
        self.clock.advance(seconds)
        return await asyncio.to_thread(self.twin.advance, seconds)

    async def ask(self, days=None, **more):
        """Store a request."""
        now_ms = self.clock.now_ms()
        days = self.twin.options.days + 20 if days is None else days
        request = BackfillRequest("r1", now_ms - days * DAY_MS, now_ms, now_ms, **more)
        await BACKFILLS.save(self.store, "ci", request, now_ms=now_ms)
        return request

    async def backfill(self, **more):
        """Read everything; gives the request as it ended."""
        await self.backfiller.work(await self.ask(**more))
        return await self.request()

    async def request(self):
        """The request as it is stored."""
        return (await BACKFILLS.load(self.store, "ci"))[-1]

    async def lines(self):
        """Every record, as bytes."""
        return [entry.body for entry in await self.store.tail({"live": 0, "backfill": 0}, 10**6)]
