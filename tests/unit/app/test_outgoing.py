"""Everything that leaves: proxies of configuration and environment, private authorities, checks of notifiers."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headgate.app.check_notifiers import NotifierChecks
from headgate.app.compose import Plant, build_plant
from headgate.app.settings import load
from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import CheckResult
from headgate.plugins import load_plugins
from headgate.testing.circleci import Twin
from headgate.testing.relay import make_certificate, proxy, tls_front

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("ca"))


@dataclass
class Far:
    """A server that answers everything alike. `requests`: heads that came; `connections`: how many were made."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def far_side(body: bytes = b"{}", tls: tuple[Path, Path] | None = None) -> AsyncIterator[Far]:
    far, writers = Far(), list[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far.connections += 1
        writers.append(writer)
        try:
            far.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            writer.write(head.encode() + b"connection: close\r\n\r\n" + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it connected and asked nothing
        finally:
            writer.close()

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    far.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield far
    finally:
        server.close()
        while writers:
            writers.pop().transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)  # an aborted transport closes its socket in a later turn of the loop


@asynccontextmanager
async def plant_of(directory: Path, **sections: Any) -> AsyncIterator[Plant]:
    file = directory / "headgate.yaml"
    file.write_text(json.dumps({"version": 1, "store": {"url": f"sqlite://{directory}/x.db"}, **sections}))
    plant = build_plant(load(load_plugins(), file=file, environ={}), SystemClock(), NullMetrics())
    try:
        yield plant
    finally:
        await plant.aclose()


async def tried(plant: Plant, *, send: bool = False) -> list[CheckResult]:
    """Every check of everything that is configured."""
    notifying = NotifierChecks(SystemClock(), send=send)
    try:
        found = [result for one in (*plant.sources.values(), *plant.sinks.values()) for result in await one.check()]
        return found + [result for one in plant.notifiers.values() for result in await notifying.check(one)]
    finally:
        await notifying.aclose()


def parts(url: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Everything that leaves over HTTP, each alone."""
    source = {"type": "circleci", "token": "twin-token", "base_url": url, "orgs": ["gh/acme"], **more}
    slack = {"type": "slack", "token": "xoxb-1", "channel": "#ci", "url": url, **more}
    return {
        "source": {"sources": {"circleci": source}},
        "loki": {"sinks": {"loki": {"type": "loki", "url": url, **more}}},
        "http": {"sinks": {"http": {"type": "http", "url": url, **more}}},
        "elasticsearch": {"sinks": {"es": {"type": "elasticsearch", "url": url, **more}}},
        "slack": {"alerts": {"notifiers": {"ops": slack}}},
        "webhook": {"alerts": {"notifiers": {"ops": {"type": "webhook", "url": url, **more}}}},
    }


PARTS = tuple(parts("http://x"))


@pytest.mark.parametrize("name", PARTS)
async def test_the_proxy_of_the_environment_is_used_by_everything_that_leaves(
    name: str, tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY with CONNECT on real TLS sockets; NO_PROXY goes past it."""
    async with far_side(b'{"ok": true}', certificate) as far, proxy() as running:
        monkeypatch.setenv("HTTPS_PROXY", running.url)
        async with plant_of(tmp_path, **parts(far.url, ca_file=str(certificate[0]))[name]) as plant:
            through_proxy = await tried(plant)
        assert {f"CONNECT {far.url.removeprefix('https://')} HTTP/1.1"} == set(running.lines)
        running.lines.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with plant_of(tmp_path, **parts(far.url, ca_file=str(certificate[0]))[name]) as plant:
            assert through_proxy == await tried(plant)
        assert running.lines == []


@pytest.mark.parametrize("name", PARTS)
async def test_a_configured_proxy_wins_over_the_environment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over NO_PROXY."""
    async with far_side(b'{"ok": true}') as far, proxy() as running:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with plant_of(tmp_path, **parts(far.url, proxy=running.url)[name]) as plant:
            await tried(plant)
        # A webhook is only connected to: through a proxy for plain HTTP that is the proxy itself.
        assert running.lines or name == "webhook"
        assert far.connections == len(running.lines)


@pytest.mark.parametrize("by", ["configuration", "environment"])
async def test_the_source_works_through_a_proxy_with_a_private_ca(
    by: str, tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token, membership and pipelines of a CircleCI behind TLS with an authority of its own."""
    pem, key = certificate
    with Twin(seed=1, days=1, projects=1) as twin:
        async with tls_front(twin.base_url, pem, key) as url, proxy() as running:
            more: dict[str, Any] = {"ca_file": str(pem)}
            if by == "configuration":
                more["proxy"] = running.url
            else:
                monkeypatch.setenv("HTTPS_PROXY", running.url)
            async with plant_of(tmp_path, **parts(url, **more)["source"]) as plant:
                results = await tried(plant)
            assert [True] * len(results) == [result.ok for result in results], results
            assert {"source circleci token", "source circleci organisation gh/acme"} <= {one.name for one in results}
            assert running.lines[0] == f"CONNECT {url.removeprefix('https://')} HTTP/1.1"


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """A webhook notifier's far side, without its authority: the reason is `tls`."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server sees the refused handshake
    async with far_side(tls=certificate) as far, plant_of(tmp_path, **parts(far.url)["webhook"]) as plant:
        [result] = await tried(plant)
    assert (False, "tls") == (result.ok, result.reason), result


async def test_notifiers_are_checked_without_a_message(tmp_path: Path) -> None:
    """Slack's token by auth.test; a webhook by connecting; only `--send` sends."""
    async with far_side(b'{"ok": true}') as far:
        both = {"slack": parts(far.url)["slack"], "webhook": parts(far.url)["webhook"]}
        async with plant_of(tmp_path, **both["slack"]) as plant:
            assert ["ok"] == [one.reason for one in await tried(plant)]
        assert far.requests.pop().startswith("POST /auth.test HTTP/1.1")
        async with plant_of(tmp_path, **both["webhook"]) as plant:
            assert ["connected"] == [one.reason for one in await tried(plant)]
            assert far.requests == []
            assert ["ok"] == [one.reason for one in await tried(plant, send=True)]
        assert far.requests.pop().startswith("POST / HTTP/1.1")
        async with plant_of(tmp_path, **both["slack"]) as plant:
            await tried(plant, send=True)
        assert far.requests.pop().startswith("POST /chat.postMessage HTTP/1.1")


@pytest.mark.parametrize(
    ("word", "reason"), [("invalid_auth", "auth"), ("account_inactive", "auth"), ("internal_error", "unreachable")]
)
async def test_a_refused_slack_token_is_told(tmp_path: Path, word: str, reason: str) -> None:
    """With Slack's own word and what to do."""
    said = json.dumps({"ok": False, "error": word}).encode()
    async with far_side(said) as far, plant_of(tmp_path, **parts(far.url)["slack"]) as plant:
        [result] = await tried(plant)
    assert (False, reason) == (result.ok, result.reason)
    assert word in result.fix


async def test_a_dead_address_is_told(tmp_path: Path) -> None:
    """A port that nobody listens on."""
    async with plant_of(tmp_path, **parts("http://127.0.0.1:9")["webhook"]) as plant:
        [result] = await tried(plant)
    assert (False, "unreachable") == (result.ok, result.reason)
