"""TLS on listeners, over real sockets: what is agreed, what is refused, and certificates that change under way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import uvloop

from headgate.app.access import TlsSettings, server_context
from headgate.app.servers import Listener, Server, bind, url_of
from headgate.testing.relay import make_certificate
from headgate.web.asgi import Receive, Scope, Send, answer_json


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say over what it was asked, and how long the body was."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer_json(send, 200, {"scheme": scope["scheme"], "peer": scope["client"][0], "size": size})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> tuple[Path, Path]:
    """Two folders, each with a certificate for loopback and its key."""
    folders = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for folder in folders:
        make_certificate(folder)
    return folders


def context(folder: Path, **more: str) -> ssl.SSLContext:
    return server_context(TlsSettings(cert="loopback.pem", key="loopback.key", **more), folder, "http.tls")


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "loopback.pem"))


class Bench:
    """A listener over TLS; `ended`: how many connections it ended, by reason."""

    def __init__(self, folder: Path, most: int = 100, **more: str) -> None:
        self.ended: Counter[str] = Counter()
        self.socket = bind("127.0.0.1:0", "test")
        self.url = url_of(self.socket, secure=True)
        self.port = self.socket.getsockname()[1]
        listener = Listener(lambda: None, lambda reason: self.ended.update([reason]), most)
        self.server = Server(echo, self.socket, listener, context(folder, **more))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        """Answering."""
        task = asyncio.create_task(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            self.server.stop(force=True)
            await task
            self.socket.close()

    def client(self, folder: Path) -> httpx.AsyncClient:
        """Trusts the certificate of that folder alone."""
        return httpx.AsyncClient(base_url=self.url, verify=trusting(folder), trust_env=False)


async def connected(port: int, folder: Path, **limits: ssl.TLSVersion) -> str:
    """The version that is agreed. Raises what the handshake raises."""
    wanted = trusting(folder)
    for name, value in limits.items():
        setattr(wanted, name, value)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=wanted)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 5)
        return writer.get_extra_info("ssl_object").version()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_requests_come_over_tls(pairs):
    """Small and large, one connection for several, many at once."""
    async with Bench(pairs[0]).running() as bench, bench.client(pairs[0]) as http:
        assert bench.url.startswith("https://127.0.0.1:")
        first = (await http.post("/", content=b"x" * 3_000_000)).json()
        assert {"scheme": "https", "peer": "127.0.0.1", "size": 3_000_000} == first
        answers = await asyncio.gather(*(http.get("/") for _ in range(20)))
        assert {200} == {one.status_code for one in answers}
    assert {} == bench.ended


async def test_1_2_is_the_oldest_version(pairs):
    """RFC 8996 has put older ones aside; OpenSSL here may not even speak them."""
    assert ssl.TLSVersion.TLSv1_2 == context(pairs[0]).minimum_version
    async with Bench(pairs[0]).running() as bench:
        assert "TLSv1.2" == await connected(bench.port, pairs[0], maximum_version=ssl.TLSVersion.TLSv1_2)
        assert "TLSv1.3" == await connected(bench.port, pairs[0])


async def test_who_does_not_agree_is_ended_and_counted(pairs):
    """Plain HTTP, junk, somebody who does not trust us, somebody who leaves."""
    async with Bench(pairs[0]).running() as bench:
        for said in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x00" * 100):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(said)
            assert b"200" not in await asyncio.wait_for(reader.read(), 5)
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await connected(bench.port, pairs[1])
        _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.close()
        await writer.wait_closed()
        assert "TLSv1.3" == await connected(bench.port, pairs[0])
        for _ in range(200):
            if bench.ended["tls"] >= 4:
                break
            await asyncio.sleep(0.01)
    assert {"tls": 4} == dict(bench.ended)


async def test_there_is_a_bounded_number_of_handshakes(pairs):
    """Who opens connections and says nothing keeps a few others out for seconds, not the process for ever."""
    async with Bench(pairs[0], most=8).running() as bench:
        silent = [await asyncio.open_connection("127.0.0.1", bench.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        with contextlib.suppress(OSError):
            assert b"" == await asyncio.wait_for(reader.read(), 5)
        assert {"tls": 1} == dict(bench.ended)
        for _, one in [*silent, (reader, writer)]:
            one.close()


async def test_a_new_certificate_is_shown_to_who_connects_next(pairs):
    """What is open goes on."""
    async with Bench(pairs[0]).running() as bench, bench.client(pairs[0]) as old, bench.client(pairs[1]) as new:
        assert 200 == (await old.get("/")).status_code
        with pytest.raises(httpx.ConnectError):
            await new.get("/")
        bench.server.secure_with(context(pairs[1]))
        assert [200, 200] == [(await http.get("/")).status_code for http in (old, new)]
        with pytest.raises(ssl.SSLCertVerificationError):
            await connected(bench.port, pairs[0])


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Iterator[Path]:
    """An authority, and a certificate of a client that it signed."""
    return authority(tmp_path_factory.mktemp("signed"))


def authority(folder: Path) -> Path:
    """Make both there."""
    make = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    sign = ["openssl", "x509", "-req", "-in", "client.csr"]
    calls = [
        [*make, "-x509", "-days", "9", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
        [*make, "-subj", "/CN=client", "-keyout", "client.key", "-out", "client.csr"],
        [*sign, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "9", "-out", "client.pem"],
    ]
    for call in calls:
        subprocess.run(call, cwd=folder, check=True, capture_output=True)
    return folder


async def test_only_who_has_a_certificate_of_the_authority_connects(pairs, signed):
    """Where `client_ca` is set."""
    async with Bench(pairs[0], client_ca=str(signed / "ca.pem")).running() as bench:
        known = trusting(pairs[0])
        known.load_cert_chain(signed / "client.pem", signed / "client.key")
        async with httpx.AsyncClient(base_url=bench.url, verify=known, trust_env=False) as http:
            assert 200 == (await http.get("/")).status_code
        async with bench.client(pairs[0]) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/")
        for _ in range(200):
            if bench.ended["tls"]:
                break
            await asyncio.sleep(0.01)
    assert {"tls": 1} == dict(bench.ended)


async def test_another_authority_counts_for_who_connects_next(pairs, signed, tmp_path):
    """After a reload: who has a certificate of the old one stays connected and comes in no more."""
    other = authority(tmp_path)

    def bearing(folder: Path) -> httpx.AsyncClient:
        known = trusting(pairs[0])
        known.load_cert_chain(folder / "client.pem", folder / "client.key")
        return httpx.AsyncClient(base_url=bench.url, verify=known, trust_env=False)

    async with (
        Bench(pairs[0], client_ca=str(signed / "ca.pem")).running() as bench,
        bearing(signed) as old,
        bearing(signed) as late,
        bearing(other) as new,
    ):
        assert 200 == (await old.get("/")).status_code
        with pytest.raises(httpx.TransportError):
            await new.get("/")
        bench.server.secure_with(context(pairs[0], client_ca=str(other / "ca.pem")))
        assert [200, 200] == [(await http.get("/")).status_code for http in (old, new)]
        with pytest.raises(httpx.TransportError):
            await late.get("/")
        bench.server.secure_with(context(pairs[0]))
        async with bench.client(pairs[0]) as anybody:
            assert 200 == (await anybody.get("/")).status_code


def test_all_of_it_holds_on_the_loop_that_the_daemon_runs_on(pairs, signed):
    """It has transports of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_requests_come_over_tls(pairs))
        runner.run(test_1_2_is_the_oldest_version(pairs))
        runner.run(test_who_does_not_agree_is_ended_and_counted(pairs))
        runner.run(test_there_is_a_bounded_number_of_handshakes(pairs))
        runner.run(test_a_new_certificate_is_shown_to_who_connects_next(pairs))
        runner.run(test_only_who_has_a_certificate_of_the_authority_connects(pairs, signed))
