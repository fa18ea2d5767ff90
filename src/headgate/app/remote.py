"""Operations through a running daemon's API. Translates its answers back into Problem; holds no logic of its own."""

from __future__ import annotations

import os
import pwd
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal
from urllib.parse import quote

import httpx

from headgate.app.runtimefile import trust_of
from headgate.app.settings import Configuration
from headgate.core.errors import StoreError
from headgate.web.operations import (
    Asked,
    ChosenDeliveries,
    ChosenLetters,
    HistoryKind,
    Json,
    NewSilence,
    Order,
    Problem,
    WantedExport,
    WantedReport,
)
from headgate.web.workings import ProvenWindow

__all__ = ["Denied", "RemoteOperations", "Unreachable", "trusting", "user_name"]

# For each step of a call that only looks.
_SECONDS = 30.0
# A backup of a large store takes longer than any other answer.
_BACKUP_SECONDS = 3600.0
# What changes something may wait for a busy store; giving up on it would not undo it.
_ACTION_SECONDS = 600.0
# A workbook is whole before its first byte comes.
_EXPORT_SECONDS = 1800.0
_REASONS = {404: "unknown", 409: "refused", 503: "busy"}


class Unreachable(Problem):
    """No daemon answers at the address, or the one that did says nothing more."""

    def __init__(self, error: httpx.TransportError) -> None:
        said = f"the daemon did not answer ({type(error).__name__}); it may have stopped, or still be doing this"
        super().__init__("busy", f"{said}: see `headgate status`")


class Denied(Problem):
    """The daemon wants an access token that it was not given."""


def user_name() -> str:
    """Whose command this is, for the trail."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def trusting(certificate: str, configuration: Configuration) -> ssl.SSLContext | bool:
    """How to know the daemon: by the very certificate that it said it shows, whatever name that has.

    Where it wants one of its clients too, ours is the listener's own.
    """
    if not certificate:
        return True
    context = trust_of(certificate)
    tls = configuration.settings.http.tls
    if tls is not None and tls.client_ca is not None:
        context.load_cert_chain(configuration.base / tls.cert, configuration.base / tls.key)
    return context


class RemoteOperations:
    """`web.operations.Operations` over HTTP. `token`: what opens the daemon; `verify`: of `trusting`."""

    def __init__(
        self,
        url: str,
        token: str | None,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        headers = {"x-headgate-request": "command", "x-headgate-user": user_name()}
        if token:
            headers["authorization"] = f"Bearer {token}"
        # The daemon is on this machine: no proxy of the environment may see the token.
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=_SECONDS, trust_env=False, transport=transport, verify=verify
        )

    async def aclose(self) -> None:
        """Free the connection."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        if method != "GET":
            options.setdefault("timeout", httpx.Timeout(_SECONDS, read=_ACTION_SECONDS))
        try:
            answer = await self._client.request(method, "/api/v1" + path, **options)
        except httpx.TransportError as exc:
            raise Unreachable(exc) from exc
        if answer.is_success:
            return answer.json()
        raise _problem(answer)

    async def report(self, wanted: WantedReport) -> str:
        """A review as one file of HTML."""
        params: dict[str, Any] = {"every": wanted.every, "project": wanted.projects, "team": wanted.teams}
        return await self._page("/report", params | ({"until": wanted.until} if wanted.until else {}))

    async def saved_reports(self) -> list[Json]:
        """Reports that were saved."""
        return await self._ask("GET", "/reports")  # type: ignore[no-any-return]  # the API's shape

    async def saved_report(self, name: str, file: str) -> str:
        """One of them."""
        return await self._page(f"/reports/{quote(name, safe='')}/{quote(file, safe='')}", {})

    async def _page(self, path: str, params: Mapping[str, Any]) -> str:
        try:
            answer = await self._client.get("/api/v1" + path, params=params, timeout=_EXPORT_SECONDS)
        except httpx.TransportError as exc:
            raise Unreachable(exc) from exc
        if not answer.is_success:
            raise _problem(answer)
        return answer.text

    async def export(self, wanted: WantedExport) -> AsyncIterator[bytes]:
        """A table as the bytes of a file, as the daemon makes them."""
        params = {"format": (wanted.form,), **wanted.words}
        path, timeout = f"/api/v1/export/{quote(wanted.table, safe='')}", httpx.Timeout(_SECONDS, read=_EXPORT_SECONDS)
        try:
            async with self._client.stream("GET", path, params=params, timeout=timeout) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _problem(answer)
                async for chunk in answer.aiter_bytes():
                    yield chunk
        except httpx.TransportError as exc:
            raise Problem("busy", f"the daemon broke off the export ({type(exc).__name__}); its log says why") from exc

    async def status(self) -> Json:
        """The figures of `headgate status --json`."""
        return await self._ask("GET", "/status")  # type: ignore[no-any-return]  # the API's shape

    async def overview(self) -> Json:
        """What the page shows."""
        return await self._ask("GET", "/overview")  # type: ignore[no-any-return]  # the API's shape

    async def runs(self, limit: int, project: str | None) -> list[Json]:
        """Ended workflows."""
        params: dict[str, str | int] = {"limit": limit}
        if project:
            params["project"] = project
        return await self._ask("GET", "/runs", params=params)  # type: ignore[no-any-return]  # the API's shape

    async def history(
        self, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int, kind: HistoryKind = "runs"
    ) -> list[Json]:
        """A page of the ended workflows or jobs of a time range."""
        params: dict[str, str | int] = {"since_ms": since_ms, "until_ms": until_ms, "limit": limit, "kind": kind}
        if after is not None:
            params |= {"after_ms": after[0], "after_id": after[1]}
        return await self._ask("GET", "/history", params=params)  # type: ignore[no-any-return]  # the API's shape

    async def alert_history(self, fingerprint: str, limit: int) -> list[Json]:
        """What became of one alert."""
        path = f"/alerts/{fingerprint}/history"
        return await self._ask("GET", path, params={"limit": limit})  # type: ignore[no-any-return]  # the API's shape

    async def explain(self, query: str) -> list[Json]:
        """All about a workflow or job."""
        return await self._ask("GET", "/explain", params={"query": query})  # type: ignore[no-any-return]  # as above

    async def tail(self, after: Mapping[str, int], limit: int) -> Json:
        """The newest records, or those that follow."""
        return await self._ask("GET", "/tail", params={**after, "limit": limit})  # type: ignore[no-any-return]  # as above

    async def dead_letters(
        self, signal: str | None, ids: Sequence[int], limit: int, before: int | None = None
    ) -> list[Json]:
        """Dead letters."""
        params: dict[str, Any] = {"limit": limit, "id": list(ids)}
        if signal:
            params["signal"] = signal
        if before is not None:
            params["before"] = before
        return await self._ask("GET", "/deadletters", params=params)  # type: ignore[no-any-return]  # as above

    async def dead_deliveries(self, limit: int, ids: Sequence[int] = (), before: int | None = None) -> list[Json]:
        """Unreadable webhooks."""
        params = {"limit": limit, "id": list(ids)} | ({} if before is None else {"before": before})
        return await self._ask("GET", "/deaddeliveries", params=params)  # type: ignore[no-any-return]  # as above

    async def replay_dead(self, chosen: ChosenLetters) -> int:
        """Send dead letters again."""
        return int((await self._ask("POST", "/deadletters/replay", json=asdict(chosen)))["requeued"])

    async def purge_dead(self, chosen: ChosenLetters) -> int:
        """Forget dead letters."""
        return int((await self._ask("POST", "/deadletters/purge", json=asdict(chosen)))["purged"])

    async def replay_deliveries(self, chosen: ChosenDeliveries) -> int:
        """Merge webhooks again."""
        return int((await self._ask("POST", "/deaddeliveries/replay", json=asdict(chosen)))["requeued"])

    async def purge_deliveries(self, chosen: ChosenDeliveries) -> int:
        """Forget webhooks."""
        return int((await self._ask("POST", "/deaddeliveries/purge", json=asdict(chosen)))["purged"])

    async def replay(self, sink: str, since_ms: int, until_ms: int) -> list[Json]:
        """Send a time range again."""
        body = {"sink": sink, "since_ms": since_ms, "until_ms": until_ms}
        return await self._ask("POST", "/replay", json=body)  # type: ignore[no-any-return]  # the API's shape

    async def reset_sink(self, sink: str, start: Literal["now", "retained"] | int) -> list[str]:
        """Forget a sink's cursors."""
        return list((await self._ask("POST", f"/sinks/{sink}/reset", json={"start": start}))["reset"])

    async def deployment(self, told: Mapping[str, Any]) -> Json:
        """Keep a deployment."""
        return await self._ask("POST", "/deployments", json=dict(told))  # type: ignore[no-any-return]  # as above

    async def alerts(self) -> list[Json]:
        """Alert instances."""
        return await self._ask("GET", "/alerts")  # type: ignore[no-any-return]  # the API's shape

    async def acknowledge(self, fingerprint: str, *, by: str, comment: str, verdict: str) -> Json:
        """Say that somebody has seen an alert."""
        body = {"by": by, "comment": comment, "verdict": verdict}
        return await self._ask("POST", f"/alerts/{fingerprint}/ack", json=body)  # type: ignore[no-any-return]  # as above

    async def silences(self) -> list[Json]:
        """Silences."""
        return await self._ask("GET", "/silences")  # type: ignore[no-any-return]  # the API's shape

    async def silence(self, wanted: NewSilence) -> Json:
        """Make a silence."""
        return await self._ask("POST", "/silences", json=asdict(wanted))  # type: ignore[no-any-return]  # the API's shape

    async def expire_silence(self, number: int, *, by: str, comment: str) -> Json:
        """End a silence."""
        asked = {"by": by, "comment": comment}
        return await self._ask("DELETE", f"/silences/{number}", params=asked)  # type: ignore[no-any-return]  # as above

    async def backup(self, path: str) -> Json:
        """Copy the store."""
        return await self._ask("POST", "/backup", json={"path": path}, timeout=_BACKUP_SECONDS)  # type: ignore[no-any-return]  # as above

    async def backfill(self, order: Order) -> list[Json]:
        """Ask for history."""
        return await self._ask("POST", "/backfills", json=asdict(order))  # type: ignore[no-any-return]  # the API's shape

    async def backfills(self) -> list[Json]:
        """Requests for history."""
        return await self._ask("GET", "/backfills")  # type: ignore[no-any-return]  # the API's shape

    async def audit(self, order: Order) -> list[Json]:
        """Ask for an audit."""
        return await self._ask("POST", "/audits", json=asdict(order))  # type: ignore[no-any-return]  # the API's shape

    async def audits(self) -> list[Json]:
        """Requests for audits."""
        return await self._ask("GET", "/audits")  # type: ignore[no-any-return]  # the API's shape

    async def query(self, asked: Asked) -> Json:
        """A metric."""
        params = {name: value for name, value in asdict(asked).items() if value is not None}
        return await self._ask("GET", "/query", params=params)  # type: ignore[no-any-return]  # the API's shape

    async def routing(self) -> Json:
        """Who is told of alerts."""
        return await self._ask("GET", "/routing")  # type: ignore[no-any-return]  # the API's shape

    async def completeness(self, window: ProvenWindow = "24h") -> Json:
        """What audits have proven."""
        return await self._ask("GET", "/completeness", params={"window": window})  # type: ignore[no-any-return]  # the API's shape

    async def data(self) -> Json:
        """What is kept."""
        return await self._ask("GET", "/data")  # type: ignore[no-any-return]  # the API's shape

    async def configuration(self) -> Json:
        """The configuration without secrets."""
        return await self._ask("GET", "/configuration")  # type: ignore[no-any-return]  # the API's shape

    async def rule_texts(self) -> list[Json]:
        """Rule files as the daemon read them."""
        return await self._ask("GET", "/rules")  # type: ignore[no-any-return]  # the API's shape

    async def test_outcomes(
        self, project: str, since_ms: int, until_ms: int, after: tuple[str, str] | None, limit: int, *, failing: bool
    ) -> list[Json]:
        """What came of tests."""
        params: dict[str, Any] = {"project": project, "since_ms": since_ms, "until_ms": until_ms, "limit": limit}
        params |= {"failing": failing} | (
            dict(zip(("after_test", "after_revision"), after, strict=True)) if after else {}
        )
        return await self._ask("GET", "/outcomes", params=params)  # type: ignore[no-any-return]  # the API's shape

    async def trail(self, since_ms: int, before: int | None, limit: int, action: str = "") -> list[Json]:
        """Who did what."""
        params = {"since_ms": since_ms, "limit": limit, "action": action} | (
            {} if before is None else {"before": before}
        )
        return await self._ask("GET", "/trail", params=params)  # type: ignore[no-any-return]  # the API's shape

    async def reload(self) -> Json:
        """Read the configuration again."""
        return await self._ask("POST", "/reload")  # type: ignore[no-any-return]  # the API's shape


def _problem(answer: httpx.Response) -> StoreError | Problem:
    """What an answer that is no success means."""
    try:
        said = answer.json()
    except ValueError:
        said = {}
    told = said if isinstance(said, dict) else {}
    text = told.get("detail") or f"the daemon answered {answer.status_code}"
    if told.get("error") == "store":
        return StoreError(text)
    if answer.status_code == 401:
        return Denied("refused", "the running daemon wants one of its http.access.tokens")
    valid = f"; valid: {', '.join(told['valid'])}" if told.get("valid") else ""
    return Problem(_REASONS.get(answer.status_code, "refused"), text + valid)  # type: ignore[arg-type]  # the table's words
