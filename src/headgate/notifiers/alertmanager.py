"""Notifier `alertmanager`: alerts for Prometheus' Alertmanager, as Prometheus itself sends them (API v2).

An Alertmanager forgets what it is not told again, so open alerts are repeated every `resend`, with an end four
intervals ahead: should Headgate die, they end by themselves. A resolved alert is repeated for five minutes. All
addresses get all alerts, since the members of a cluster share silences, not alerts; one that takes them is enough for a
notification to count as sent, the others catch up with the next repetition. Source: prometheus.io, "Clients"
(Alertmanager) and its OpenAPI of version 2.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import msgspec
from pydantic import Field, model_validator

from headgate.core.errors import SinkError, SinkRefused, SinkUnavailable
from headgate.core.messages import Exchange, Message, Notification, content_of, payload_of
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.times import MINUTE_MS, format_ms
from headgate.core.verdicts import classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HeaderSecret, HttpNotifierConfig, SecretUrl, header_problem, without_secrets
from headgate.plugins.config import Duration, Secret, address_secrets, duration_field, reveal

__all__ = ["PLUGINS", "AlertmanagerConfig", "AlertmanagerNotifier"]

_RESOLVED_REPEATED_MS = 5 * MINUTE_MS
_INTERVALS_AHEAD = 4
_BATCH = 500
_NAME = re.compile(r"[^a-zA-Z0-9_]")
_ALERT = "alert"  # key of the memory: the notification as it was told last


class AlertmanagerConfig(HttpNotifierConfig):
    """Configuration of an Alertmanager notifier."""

    urls: tuple[SecretUrl, ...] = Field(
        min_length=1, description="Base addresses, without /api/v2; every one gets every alert."
    )
    resend: Duration = duration_field("1m", "How often open alerts are told again.")
    bearer_token: HeaderSecret | None = Field(default=None, description="Sent as Authorization: Bearer.")
    username: str | None = Field(default=None, description="For basic authentication, with `password`.")
    password: Secret | None = Field(default=None, description="For basic authentication.")
    tenant: str | None = Field(default=None, description="Sent as X-Scope-OrgID (Grafana Mimir and Cloud).")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.username is not None and self.bearer_token is not None:
            raise ValueError("give either bearer_token, or username and password")
        if not 1000 <= self.resend <= 3_600_000:
            raise ValueError("resend: between 1s and 1h")
        if self.tenant is not None and (problem := header_problem("X-Scope-OrgID", self.tenant)):
            raise ValueError(f"tenant: {problem}")
        return self


class AlertmanagerNotifier:
    """One alert a message: which of them become one page is Alertmanager's business."""

    grouped = False
    digests = False

    def __init__(self, name: str, config: AlertmanagerConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self.refresh_seconds = config.resend / 1000
        self._config = config
        self._user_agent = context.user_agent

    async def send(self, message: Message, *, now_ms: int, http: Exchange) -> Mapping[str, str]:
        """Tell one alert. One whose labels changed, such as severity, is another alert there: the former one ends."""
        (told,) = message.notifications
        alerts = [self._alert(told, now_ms)]
        former = _remembered(message.memory)
        if former is not None and _labels(former) != _labels(told) and former.state == "firing":
            alerts.insert(0, self._alert(former, now_ms) | {"endsAt": format_ms(now_ms)})
        await self._post(alerts, http)
        return {_ALERT: payload_of(told).decode()}

    async def refresh(
        self,
        memories: Mapping[str, Mapping[str, str]],
        *,
        now_ms: int,
        open_alerts: Callable[[str], bool],
        http: Exchange,
    ) -> Sequence[str]:
        """Tell open alerts again, and for a while those that ended; returns those that need no more telling."""
        alerts: list[dict[str, Any]] = []
        over: list[str] = []
        for thread, memory in memories.items():
            told = _remembered(memory)
            if told is None:
                over.append(thread)
            elif told.state == "resolved":
                alerts.append(self._alert(told, now_ms))
                if now_ms - (told.ends_ms or told.at_ms) >= _RESOLVED_REPEATED_MS:
                    over.append(thread)
            elif open_alerts(told.fingerprint):
                alerts.append(self._alert(told, now_ms))
            else:
                # It ended and another route was told so: without this one it would end there a few minutes later.
                alerts.append(self._alert(told, now_ms) | {"endsAt": format_ms(now_ms)})
                over.append(thread)
        for start in range(0, len(alerts), _BATCH):
            await self._post(alerts[start : start + _BATCH], http)
        return over

    async def reach(self, http: Exchange) -> None:
        """Ask each for its version; all must answer."""
        for url in self._config.urls:
            request = HttpRequest(
                "GET", _path(url.get_secret_value(), "status"), self._headers(), b"", timeout_seconds=self._seconds()
            )
            reply = await http(request)
            self._judge(reply)
            if b'"versionInfo"' not in reply.body:
                text = "answered 200, but not as Alertmanager does"
                raise SinkRefused(text, reason="config", fix="urls: the base address, without /api/v2")

    async def _post(self, alerts: Sequence[Mapping[str, Any]], http: Exchange) -> None:
        """Send to every address. Returns when one took them; otherwise raises what is worth waiting for."""
        body = msgspec.json.encode(alerts)
        errors = [
            error
            for error in await asyncio.gather(
                *(self._post_one(url.get_secret_value(), body, http) for url in self._config.urls)
            )
            if error is not None
        ]
        if len(errors) == len(self._config.urls):
            raise next((error for error in errors if isinstance(error, SinkUnavailable)), errors[0])

    async def _post_one(self, url: str, body: bytes, http: Exchange) -> SinkError | None:
        request = HttpRequest("POST", _path(url, "alerts"), self._headers(), body, timeout_seconds=self._seconds())
        try:
            self._judge(await http(request))
        except SinkError as error:
            return error
        return None

    def _judge(self, reply: HttpReply) -> None:
        given = (self._config.bearer_token, self._config.password)
        secrets = [part for url in self._config.urls for part in address_secrets(reveal(url))]
        text = without_secrets(reply.text(), (*secrets, *map(reveal, given)))
        raise_for(classify(reply.status), reply.status, text, retry_after=retry_after_seconds(reply.headers))

    def _seconds(self) -> float:
        return self._config.timeout / 1000

    def _headers(self) -> tuple[tuple[str, str], ...]:
        headers = [("content-type", "application/json"), ("user-agent", self._user_agent)]
        if self._config.bearer_token is not None:
            headers.append(("authorization", f"Bearer {reveal(self._config.bearer_token)}"))
        if self._config.username is not None:
            pair = f"{self._config.username}:{reveal(self._config.password)}".encode()
            headers.append(("authorization", f"Basic {base64.b64encode(pair).decode()}"))
        if self._config.tenant is not None:
            headers.append(("x-scope-orgid", self._config.tenant))
        return tuple(headers)

    def _alert(self, told: Notification, now_ms: int) -> dict[str, Any]:
        ends_ms = told.ends_ms if told.state == "resolved" else now_ms + _INTERVALS_AHEAD * self._config.resend
        said = {**told.annotations, "good_news": "true" if told.good else ""}
        alert: dict[str, Any] = {
            "labels": _labels(told),
            "annotations": {_name(name): text for name, text in said.items() if text},
            "startsAt": format_ms(told.starts_ms),
            "endsAt": format_ms(told.at_ms if ends_ms is None else ends_ms),
        }
        link = told.annotations.get("link", "")
        return alert | ({"generatorURL": link} if link.startswith(("http://", "https://")) else {})


def _labels(told: Notification) -> dict[str, str]:
    labels = {_name(name): value for name, value in told.labels.items() if value}
    return {"alertname": told.rule, **labels}


def _name(text: str) -> str:
    """A label name that every version of Alertmanager takes."""
    name = _NAME.sub("_", text)
    return f"_{name}" if name[:1].isdigit() or not name else name


def _remembered(memory: Mapping[str, str]) -> Notification | None:
    try:
        found = content_of(memory[_ALERT].encode())
    except (KeyError, msgspec.DecodeError):
        return None
    return found if isinstance(found, Notification) else None


def _path(url: str, what: str) -> str:
    return f"{url.strip().rstrip('/')}/api/v2/{what}"


PLUGINS = (Plugin("notifier", "alertmanager", AlertmanagerConfig, AlertmanagerNotifier),)
