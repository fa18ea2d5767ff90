"""Collection, delivery, alerting and the outbox as one set of parts over one store and one plant of plugins.

Invariant: engines are given ports only; a part that is swapped by a reload continues from what the store holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal

from headgate.alerting.budgets import budgets_of
from headgate.alerting.digestplan import build_digests
from headgate.alerting.engine import AlertEngine
from headgate.alerting.load import load_inhibitions, load_rules, rule_texts
from headgate.alerting.routes import Routes, build_routes
from headgate.alerting.rules import Rule
from headgate.alerting.view import Watermarks
from headgate.app.audits import silences
from headgate.app.compose import Plant, build_parts, context_of
from headgate.app.detectors import detector_factory, ground_of
from headgate.app.listening import BEAT_SECONDS
from headgate.app.measuring import owners_of
from headgate.app.reportjobs import check_takers
from headgate.app.settings import Configuration, PluginSettings
from headgate.app.views import signal_hints
from headgate.app.watermarks import Marks
from headgate.collect import CallRates, Collector, settings_from
from headgate.core.clock import Clock
from headgate.core.messages import CallNotifier, Notifier
from headgate.core.metrics import Metrics
from headgate.core.ports import Source
from headgate.core.shaping import Shaper
from headgate.core.storeport import Store
from headgate.deliver import DeliveryEngine, EngineOptions, HttpTransport, OutboxWorker
from headgate.insights.metric import Family
from headgate.insights.outlook import Budget
from headgate.plugins import load_plugins

__all__ = ["Engines", "Prepared", "prepare_alerts"]

# Requests in flight may end within this when the daemon stops; the whole stop has 5 s.
_STOP_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a reload will swap in, built and valid. `collection`: it begins anew, by other sources or bounds.

    `texts`: rule files with their text. `removed`: sources that nobody needs afterwards.
    """

    plant: Plant
    rules: tuple[Rule, ...]
    routes: Routes
    texts: Sequence[tuple[str, str]]
    collection: bool
    removed: tuple[Source, ...]


def prepare_alerts(
    configuration: Configuration, notifiers: Mapping[str, Notifier | CallNotifier]
) -> tuple[tuple[Rule, ...], Routes]:
    """Rules and routes of a configuration. Raises ConfigError."""
    alerts = configuration.settings.alerts
    ground = ground_of(load_plugins(), configuration.settings)
    rules = load_rules(alerts.rules, base=configuration.base, ground=ground)
    routes = build_routes(
        alerts.routes, tuple(configuration.notifiers), alerts.default, options=alerts, mute_times=alerts.mute_times
    )
    takers = {name: one.digests for name, one in notifiers.items()}
    digests = build_digests(alerts.digests, takers)
    check_takers(configuration.settings.reports, takers)
    inhibitions = load_inhibitions(alerts.rules, base=configuration.base)
    return rules, replace(routes, digests=digests, inhibitions=inhibitions)


def texts_of(configuration: Configuration) -> Sequence[tuple[str, str]]:
    """Names and texts of the rule files of a configuration."""
    return rule_texts(configuration.settings.alerts.rules, configuration.base)[0]


class Engines:
    """Used from one event loop. Raises ConfigError when made with rules that cannot be used.

    `hurry`: for `--until-idle`, where nothing is live.
    """

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        plant: Plant,
        clock: Clock,
        metrics: Metrics,
        *,
        hurry: bool = False,
    ) -> None:
        self.plant = plant
        self.rule_texts = texts_of(configuration)
        self._configuration = configuration
        self._store, self._clock, self._metrics, self._hurry = store, clock, metrics, hurry
        self._renew = asyncio.Event()
        self._transport = HttpTransport()
        rules, routes = prepare_alerts(configuration, plant.notifiers)
        self._collector = self._make_collector()
        self._marks = self._make_marks()
        self._delivery = self._make_delivery()
        first = next(iter(plant.sources.values()), None)
        self._alerts = AlertEngine(
            store,
            rules,
            routes,
            clock=clock,
            metrics=metrics,
            watermarks=self._watermarks,
            owners=owners_of(configuration.settings.owners),
            detectors=detector_factory(load_plugins(), context_of(clock, metrics)),
            held=self.problems,
            missing=self._missing_webhooks,
            tenant=first.host if first else "circleci.com",
            app_url=next((part.config.app_url for part in configuration.sources.values()), "https://app.circleci.com"),
        )
        self._outbox = OutboxWorker(
            store,
            plant.notifiers,
            transport=self._transport,
            clock=clock,
            metrics=metrics,
            wanted=self._alerts.wanted,
            is_open=self._alerts.is_open,
            on_dead=lambda _row, _error: self._alerts.given_up(),
        )

    def _make_collector(self) -> Collector:
        retention_ms = self._configuration.settings.store.retention.facts
        chosen = self._configuration.sources
        sources = {
            name: (source, settings_from(chosen[name].config, retention_ms=retention_ms))
            for name, source in self.plant.sources.items()
        }
        return Collector(
            self._store,
            sources,
            clock=self._clock,
            metrics=self._metrics,
            hurry=self._hurry,
            on_released=self.wake_delivery,
        )

    def _make_marks(self) -> Marks:
        chosen = self._configuration.sources
        polling = [name for name, part in chosen.items() if part.config.polls]
        hearing = {
            name: part.config.app_url
            for name, part in chosen.items()
            if part.config.takes_webhooks and not part.config.polls
        }
        retention_ms = self._configuration.settings.store.retention.facts
        return Marks(self._store, self._clock, retention_ms=retention_ms, polling=polling, hearing=hearing)

    def _make_delivery(self) -> DeliveryEngine:
        return DeliveryEngine(
            self._store,
            self.plant.sinks,
            clock=self._clock,
            metrics=self._metrics,
            starts=self._starts(self._configuration),
            overflows=self._overflows(self._configuration),
            shapers=self._shapers(self._configuration),
            options=EngineOptions(stop_seconds=_STOP_SECONDS),
        )

    @staticmethod
    def _starts(configuration: Configuration) -> dict[str, Literal["now", "retained"] | int]:
        return {name: part.start for name, part in configuration.sinks.items()}

    @staticmethod
    def _overflows(configuration: Configuration) -> dict[str, Literal["keep", "drop_oldest"]]:
        return {name: part.overflow for name, part in configuration.sinks.items()}

    @staticmethod
    def _shapers(configuration: Configuration) -> dict[str, Shaper]:
        return {name: section.shaper() for name, section in configuration.records().items()}

    # -- running

    def parts(self) -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
        """What must run, by name."""
        return (
            ("collector", self._collect),
            ("delivery", self._deliver),
            ("alerts", self._alerts.run),
            ("outbox", self._notify),
            ("listening", self._listen),
        )

    async def _listen(self) -> None:
        while True:
            await self._marks.listening.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _notify(self) -> None:
        """Send what waits, never before it is known which alerts are over."""
        await self._alerts.recall()
        await self._outbox.run()

    async def _collect(self) -> None:
        """Run a collector; a new one when the sources were swapped or the last one failed."""
        while True:
            self._renew.clear()
            self._collector = self._make_collector()
            running = asyncio.create_task(self._collector.run(), name="collect")
            renewed = asyncio.create_task(self._renew.wait())
            try:
                await asyncio.wait({running, renewed}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
            finally:
                running.cancel()
                renewed.cancel()
                await asyncio.gather(running, renewed, return_exceptions=True)

    async def _deliver(self) -> None:
        """Run the delivery engine; after an unforeseen end the next run has sinks and engine of its own."""
        try:
            await self._delivery.run()
        except Exception:
            context = context_of(self._clock, self._metrics)
            self.plant.sinks.update(build_parts(self._configuration.sinks.values(), context))
            self._delivery = self._make_delivery()
            raise

    async def stop(self) -> None:
        """Let requests in flight end and store what they settled; what else runs is cancelled by its owner."""
        self._outbox.stop()
        await self._delivery.stop()

    async def aclose(self) -> None:
        """Free connections, after everything has ended."""
        await self._transport.aclose()
        await self.plant.aclose()

    # -- questions and hooks

    def wake_outbox(self) -> None:
        """Something was written to the outbox."""
        self._outbox.wake()

    def on_webhooks(self) -> None:
        """The receiver stored deliveries."""
        self._collector.wake()

    def wake_backfills(self) -> None:
        """A request for history was stored."""
        self._collector.wake_backfills()

    def history_read(self) -> tuple[int, bool]:
        """How many requests for history were done since the sources were last configured; whether one is under way."""
        return self._collector.history_read()

    def wake_audits(self) -> None:
        """A request for an audit was stored."""
        self._collector.wake_audits()

    def wake_delivery(self) -> None:
        """Records came into the log."""
        self._delivery.wake()

    def look_again(self) -> None:
        """A command requeued something, or opened a replay."""
        self._delivery.look()
        self._delivery.wake()

    async def reset_signal(self, key: str, start: Literal["now", "retained"] | int) -> None:
        """Begin a signal anew; its worker lets go first."""
        await self._delivery.reset(key, start=start)

    async def problems(self) -> Mapping[str, str]:
        """Signals that are held, with the reason."""
        return {
            f"{sink}.{signal}": status.reason
            for sink, signals in (await self._delivery.snapshot()).items()
            for signal, status in signals.items()
            if status.state == "held"
        }

    async def signal_hints(self) -> list[str]:
        """Signals that do not deliver now: why, and until when."""
        return signal_hints(await self._delivery.snapshot())

    async def lags(self) -> Mapping[str, float]:
        """Seconds of lag by signal key, as the workers know it."""
        return {
            f"{sink}.{signal}": status.lag_seconds
            for sink, signals in (await self._delivery.snapshot()).items()
            for signal, status in signals.items()
        }

    async def waiting(self) -> list[str]:
        """What is still to be done before everything is collected and delivered; empty when idle."""
        reasons = await self._collector.waiting_for()
        if not reasons and not await self._delivery.drained():
            reasons.append("records wait for a sink")
        return reasons

    def app_urls(self) -> Mapping[str, str]:
        """Source -> the web application that links to its things lead to."""
        return {name: part.config.app_url.rstrip("/") for name, part in self._configuration.sources.items()}

    def alerts_turn(self) -> asyncio.Lock:
        """Held while alerts are evaluated."""
        return self._alerts.turn

    def call_rates(self) -> Mapping[str, CallRates]:
        """Calls an hour by source."""
        return self._collector.call_rates()

    def budgets(self) -> Sequence[Budget]:
        """Limits of the forecasts among the rules."""
        return budgets_of(self._alerts.rules)

    def behind_ms(self) -> Mapping[str, int]:
        """Project -> time since the begin of its last complete walk, milliseconds; those never walked are left out."""
        return {
            slug: max(0, self.plant.sources[name].now_ms() - complete_ms)
            for name, status in self._collector.status().items()
            for slug, complete_ms in status.complete_ms.items()
            if complete_ms is not None and name in self.plant.sources
        }

    def walk_age_seconds(self) -> Mapping[str, float]:
        """Source -> age of the oldest last complete walk of any project; without those never walked."""
        ages = {}
        for name, source in self.plant.sources.items():
            mark = self._collector.watermark_ms(name)
            if mark is not None:
                ages[name] = max(0.0, (source.now_ms() - mark) / 1000)
        return ages

    async def _watermarks(self, family: Family) -> Watermarks:
        """Up to when each project is known completely."""
        return await self._marks.of(family, await self._collector.complete_ms())

    async def _missing_webhooks(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """What the alert about webhooks that stopped has to tell, of sources that take any."""
        taking = [name for name, source in self.plant.sources.items() if source.webhook is not None]
        return await silences(self._store, taking, self._clock)

    # -- reload

    def prepare(
        self, new: Configuration, sources: AbstractSet[str], sinks: AbstractSet[str], notifiers: AbstractSet[str]
    ) -> Prepared:
        """Build what changed (names), keep what did not. No I/O but rule files. Raises ConfigError; nothing changed."""
        context = context_of(self._clock, self._metrics)

        def merged(
            old: Mapping[str, Any], chosen: Mapping[str, PluginSettings], changed: AbstractSet[str]
        ) -> dict[str, Any]:
            built = build_parts([part for name, part in chosen.items() if name in changed], context)
            return {name: built[name] if name in built else old[name] for name in chosen}

        plant = Plant(
            merged(self.plant.sources, new.sources, sources),
            merged(self.plant.sinks, new.sinks, sinks),
            merged(self.plant.notifiers, new.notifiers, notifiers),
        )
        texts = texts_of(new)
        rules, routes = prepare_alerts(new, plant.notifiers)
        removed = tuple(source for name, source in self.plant.sources.items() if plant.sources.get(name) is not source)
        retention = new.settings.store.retention.facts != self._configuration.settings.store.retention.facts
        return Prepared(plant, rules, routes, texts, bool(sources) or retention, removed)

    async def swap(self, new: Configuration, prepared: Prepared) -> None:
        """Go on with what was prepared. Raises what the store raises; nothing was changed then."""
        await self._delivery.apply(prepared.plant.sinks, self._starts(new), self._overflows(new), self._shapers(new))
        self._configuration, self.plant, self.rule_texts = new, prepared.plant, prepared.texts
        if prepared.collection:
            self._marks = self._make_marks()
            self._renew.set()
        self._outbox.apply(prepared.plant.notifiers)
        self._alerts.replace(prepared.rules, prepared.routes, owners_of(new.settings.owners))
        for source in prepared.removed:
            await source.aclose()
