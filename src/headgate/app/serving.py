"""The listeners of one daemon: sockets, webhook receiver, API and page, health.

Invariant: sockets are bound when the object is made; nothing is answered before `parts` run.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from headgate import __version__
from headgate.app.rulepages import RuleOperations, add_rule_pages
from headgate.app.sections import is_loopback, split_address
from headgate.app.servers import Listener, Server, bind, dispatch, most_connections, url_of
from headgate.app.settings import Configuration
from headgate.app.telemetry import Telemetry
from headgate.core.clock import Clock
from headgate.core.errors import ConfigError
from headgate.core.ports import Sink, Source
from headgate.core.storeport import Store
from headgate.core.trail import TrailEntry
from headgate.insights.views.lens import Lens
from headgate.web.access.gate import Gate
from headgate.web.access.login import add_login
from headgate.web.access.trail import Trail
from headgate.web.api import build_app
from headgate.web.exports import add_exports
from headgate.web.guard import Guard
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages, ci_page
from headgate.web.receiver import Receiver
from headgate.web.site.routes import add_pages

__all__ = ["Serving"]

_START_POLL_SECONDS = 0.01


class Serving:
    """Use as a context: the sockets are closed at its end. Raises ConfigError when an address cannot be had."""

    def __init__(
        self,
        configuration: Configuration,
        operations: RuleOperations,
        store: Store,
        telemetry: Telemetry,
        *,
        clock: Clock,
        on_webhooks: Callable[[], None],
        sinks: Callable[[], Mapping[str, Sink]],
        lens: Callable[[], Lens],
    ) -> None:
        settings = configuration.settings
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._stopping = False
        self._sockets: list[socket.socket] = []
        shared = settings.http.listen == settings.webhooks.listen
        page_socket = self._bind(settings.http.listen, "http.listen")
        hook_socket = page_socket if shared else self._bind(settings.webhooks.listen, "webhooks.listen")
        contexts = configuration.tls()
        self.http_url = url_of(page_socket, secure="http" in contexts)
        self.webhooks_url = url_of(hook_socket, secure="webhooks" in contexts)
        self.receiver = Receiver(store, clock, telemetry, on_webhooks)
        telemetry.before_reading(self.receiver.hand_over_counts)
        inner = build_app(
            operations,
            self,
            MetricPages(telemetry.page, lambda name: ci_page(sinks(), name)),
            version=__version__,
        )
        add_rule_pages(inner, operations)
        add_insights(inner, lens)
        add_exports(inner, operations, lens)
        self._feed = add_pages(inner, operations, lens, __version__)
        self.command_token = secrets.token_urlsafe(32)
        self._exposed = not is_loopback(split_address(settings.http.listen)[0])
        self._gate = Gate(clock, configuration.access, command_token=self.command_token)
        self._trail = Trail(store.append_trail, clock)
        add_login(inner, self._gate, __version__)
        self._guard = Guard(inner, gate=self._gate, trail=self._trail, clock=clock, prefix=f"{clock.now_ms():x}")
        self._serve_names(configuration)
        page, hooks = contexts.get("http"), contexts.get("webhooks")
        served = dispatch(self._guard, self.receiver if shared else None)
        self._servers = {"http": Server(served, page_socket, self._listener("http"), page)}
        if not shared:
            self._servers["webhooks"] = Server(self.receiver, hook_socket, self._listener("webhooks"), hooks)

    def _bind(self, address: str, key: str) -> socket.socket:
        try:
            sock = bind(address, key)
        except BaseException:
            self._close()
            raise
        self._sockets.append(sock)
        return sock

    def _close(self) -> None:
        for sock in self._sockets:
            sock.close()

    def _listener(self, name: str) -> Listener:
        def ended(reason: str) -> None:
            self._telemetry.count("headgate_http_connections_ended_total", listener=name, reason=reason)

        return Listener(self._malformed, ended, most_connections())

    def _malformed(self) -> None:
        self._telemetry.count("headgate_webhook_requests_total", source="-", status="400")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def prepare(self, configuration: Configuration) -> Mapping[str, ssl.SSLContext]:
        """What `guard_with` needs of another configuration. Raises ConfigError where it cannot be used."""
        if self._exposed and configuration.access.is_open:
            raise ConfigError(
                "http.access: other machines reach the listener until a restart takes the new http.listen; "
                "restart, or keep http.access"
            )
        return configuration.tls()

    def guard_with(self, configuration: Configuration, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """Let in whom this grants, under its host names, and show its certificates, from now on."""
        self._gate.configure(configuration.access)
        self._serve_names(configuration)
        for name, context in contexts.items():
            if name in self._servers:
                self._servers[name].secure_with(context)

    def _serve_names(self, configuration: Configuration) -> None:
        self._guard.serve_names(None if self._exposed else configuration.settings.http.hosts)

    async def note(self, action: str, about: str) -> None:
        """Keep in the trail what somebody did on this machine without a request."""
        self._trail.add(TrailEntry(self._clock.now_ms(), "local", "signal", "", action, about, 200))
        await self._trail.flush()

    def take_webhooks(self, sources: Mapping[str, Source]) -> None:
        """Take webhooks for those of the sources that have a policy, from now on."""
        self.receiver.configure({name: one.webhook for name, one in sources.items() if one.webhook is not None})

    def parts(self) -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
        """What must run, by name."""
        servers = [(f"server {name}", server.serve) for name, server in self._servers.items()]
        return [*servers, ("receiver", self.receiver.run), ("trail", self._trail.run)]

    async def until_started(self) -> None:
        """Return once every listener answers."""
        while not all(server.started for server in self._servers.values()):  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(_START_POLL_SECONDS)

    def stop(self) -> None:
        """Take no more connections; requests at work may end."""
        self._stopping = True
        self._feed.close()
        for server in self._servers.values():
            server.stop()

    # -- health

    async def alive(self) -> str | None:
        """None while the event loop and the store's writer answer."""
        await self._store.ping()
        return None

    def ready(self) -> str | None:
        """None once every listener answers and until the stop begins."""
        if self._stopping:
            return "stopping"
        return None if all(server.started for server in self._servers.values()) else "a listener is not up yet"
