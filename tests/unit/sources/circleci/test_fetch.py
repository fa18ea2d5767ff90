"""Outputs and artifacts are fetched without giving our token away, and without being led into our own network."""

import asyncio
import gzip
import ssl
from pathlib import Path

import httpx
import pytest
import respx

from headgate.core.errors import SourceUnavailable
from headgate.sources.circleci import ways
from headgate.sources.circleci.fetch import Fetcher, FetchOptions, FetchRefused

TLS = Path(__file__).parents[2] / "deliver" / "data"
SIGNED = "https://store.example/output?X-Amz-Signature=f94d"
PUBLIC = "93.184.216.34"
PINNED = f"https://{PUBLIC}/output?X-Amz-Signature=f94d"  # where it is asked for


@pytest.fixture
def names(monkeypatch):
    """Names and the addresses they have; others have none."""
    known = {
        "store.example": [PUBLIC],
        "output.circle-artifacts.com": [PUBLIC],
        "evil.circle-artifacts.com.example": [PUBLIC],
        "rebound.example": [PUBLIC, "127.0.0.1"],
        "inside.example": ["10.0.0.7"],
        "minio.internal": ["10.0.0.8"],
    }

    async def addresses(host, port):
        if host in known:
            return known[host]
        if host.replace(".", "").isdigit() or ":" in host:
            return [host]
        raise SourceUnavailable("no address")

    monkeypatch.setattr(ways, "_addresses", addresses)
    return known


@pytest.fixture
async def fetcher(names):
    """One with a token, against CircleCI's cloud."""
    made = Fetcher(FetchOptions("https://circleci.com", "our-token", "test", hosts=("minio.internal",)))
    yield made
    await made.aclose()


async def _get(fetcher, url, *, artifact=False, max_bytes=1000):
    return await fetcher.get(url, max_bytes=max_bytes, artifact=artifact)


@respx.mock
@pytest.mark.parametrize(
    ("url", "artifact", "sent"),
    [
        (SIGNED, False, False),
        (SIGNED, True, False),
        ("https://output.circle-artifacts.com/x/junit.xml", True, True),
        ("https://output.circle-artifacts.com/x/junit.xml", False, False),
        ("https://evil.circle-artifacts.com.example/x", True, False),
        ("https://circleci.com/output/x", True, True),
        ("http://minio.internal/x", True, False),
    ],
)
async def test_our_token_goes_to_circleci_alone(fetcher, url, artifact, sent):
    """Only for artifacts, and only to CircleCI's own hosts."""
    host = httpx.URL(url).host
    asked = url.replace(host, PUBLIC) if host not in ("circleci.com", "minio.internal") else url
    route = respx.get(asked).respond(200, content=b"body")
    assert await _get(fetcher, url, artifact=artifact) == b"body"
    headers = route.calls.last.request.headers
    assert headers["host"] == host
    assert headers.get("circle-token") == ("our-token" if sent else None)
    assert "authorization" not in headers


@respx.mock
async def test_a_redirection_loses_the_token(fetcher):
    """CircleCI sends on to a store under a signed address, which gets no token of ours."""
    first = "https://output.circle-artifacts.com/x/junit.xml"
    respx.get(f"https://{PUBLIC}/x/junit.xml").respond(302, headers={"location": SIGNED})
    second = respx.get(PINNED).respond(200, content=b"xml")
    assert await _get(fetcher, first, artifact=True) == b"xml"
    assert "circle-token" not in second.calls.last.request.headers


@pytest.mark.parametrize(
    "url",
    [
        "http://store.example/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[64:ff9b::a9fe:a9fe]/latest/meta-data",
        "https://[2002:a00:1::]/x",
        "https://224.0.0.1/x",
        "https://inside.example/x",
        "https://rebound.example/x",
        "https://user:pw@store.example/x",
        "file:///etc/passwd",
        "https://",
        "https://store.example:99999/x",
        "",
    ],
)
async def test_addresses_inside_are_not_asked(fetcher, url):
    """Nor plain http, nor addresses with credentials, nor what is no web address; also behind a redirection."""
    with respx.mock(assert_all_called=False) as router:
        asked = router.route().respond(200)
        with pytest.raises(FetchRefused) as caught:
            await _get(fetcher, url, artifact=True)
    assert caught.value.reason == "address"
    assert not asked.called


@respx.mock
async def test_a_redirection_inside_is_not_followed(fetcher):
    """Every hop is looked at."""
    respx.get(PINNED).respond(302, headers={"location": "http://169.254.169.254/"})
    with pytest.raises(FetchRefused, match="address"):
        await _get(fetcher, SIGNED)


@respx.mock
async def test_a_name_is_resolved_once(fetcher, monkeypatch):
    """What was looked at is what is asked: where the name leads a moment later is nothing to us."""
    answers = [[PUBLIC], ["127.0.0.1"]]

    async def addresses(host, port):
        return answers.pop(0)

    monkeypatch.setattr(ways, "_addresses", addresses)
    route = respx.get(PINNED).respond(200, content=b"x")
    assert await _get(fetcher, SIGNED) == b"x"
    request = route.calls.last.request
    assert (request.headers["host"], request.extensions["sni_hostname"]) == ("store.example", "store.example")
    assert answers == [["127.0.0.1"]]


@respx.mock
async def test_the_first_address_that_answers_is_asked(fetcher, names):
    """A machine without IPv6 reaches a host that has both."""
    names["store.example"] = ["2606:2800:21f:cb07::1", PUBLIC]
    first = respx.get(PINNED.replace(PUBLIC, "[2606:2800:21f:cb07::1]")).mock(side_effect=httpx.ConnectError)
    respx.get(PINNED).respond(200, content=b"x")
    assert await _get(fetcher, SIGNED) == b"x"
    assert first.called


@respx.mock
async def test_the_proxy_of_the_environment_resolves_names(fetcher, monkeypatch):
    """It is obeyed as by everything else that leaves; NO_PROXY is resolved here, and addresses inside are refused."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "store.example")
    behind = respx.get("https://unknown.example/x").respond(200, content=b"x")
    direct = respx.get(PINNED).respond(200, content=b"y")
    assert await _get(fetcher, "https://unknown.example/x") == b"x"
    assert await _get(fetcher, SIGNED) == b"y"
    assert behind.called
    assert direct.called
    with pytest.raises(FetchRefused, match="address"):
        await _get(fetcher, "https://10.0.0.1/x")


async def test_the_certificate_is_that_of_the_name(names, monkeypatch):
    """The address is asked, and who answers must still be whom the name says."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + head[5:9])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    names.update({"localhost": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    monkeypatch.setattr(ways, "_is_public", lambda address: True)
    made = Fetcher(FetchOptions("https://circleci.com", "t", "test", ca_file=str(TLS / "ca.pem")))
    async with server:
        assert await _get(made, f"https://localhost:{port}/xyz") == b"xyz "
        with pytest.raises(SourceUnavailable, match="ConnectError"):
            await _get(made, f"https://other.example:{port}/xyz")
    await made.aclose()


@respx.mock
async def test_redirections_end(fetcher):
    """A circle is left."""
    respx.get(PINNED).respond(302, headers={"location": SIGNED})
    with pytest.raises(FetchRefused, match="redirects"):
        await _get(fetcher, SIGNED)


@respx.mock
async def test_sizes_are_those_of_the_contents(fetcher):
    """A small answer that becomes a large one is ended on the way."""
    packed = gzip.compress(b"0" * 1_000_000)
    respx.get(PINNED).respond(200, content=packed, headers={"content-encoding": "gzip"})
    with pytest.raises(FetchRefused, match="too_large"):
        await _get(fetcher, SIGNED, max_bytes=10_000)


@respx.mock
@pytest.mark.parametrize("status", [400, 403, 404, 410])
async def test_an_expired_address_is_not_tried_again(fetcher, status):
    """Object stores say so in several ways."""
    respx.get(PINNED).respond(status)
    with pytest.raises(FetchRefused, match="expired"):
        await _get(fetcher, SIGNED)


@respx.mock
@pytest.mark.parametrize("trouble", [httpx.ConnectError(SIGNED), httpx.ReadTimeout(SIGNED), 503])
async def test_no_error_shows_an_address(fetcher, trouble):
    """It is signed: whoever reads the log could use it."""
    if isinstance(trouble, int):
        respx.get(PINNED).respond(trouble)
    else:
        respx.get(PINNED).mock(side_effect=trouble)
    with pytest.raises(SourceUnavailable) as caught:
        await _get(fetcher, SIGNED)
    assert "Signature" not in str(caught.value)
    assert caught.value.__cause__ is None


@respx.mock
async def test_behind_a_proxy_names_are_the_proxy_s(names):
    """It resolves them; addresses inside are refused all the same."""
    made = Fetcher(FetchOptions("https://circleci.com", "t", "test", proxy="http://proxy.example:3128"))
    with pytest.raises(FetchRefused, match="address"):
        await _get(made, "https://10.0.0.1/x")
    with pytest.raises(FetchRefused, match="address"):
        await _get(made, "https://vault.internal/x")
    await made.aclose()


async def test_a_missing_ca_file_is_said(names):
    """It names the file."""
    made = Fetcher(FetchOptions("https://circleci.com", "t", "test", ca_file="/nonexistent.pem"))
    with pytest.raises(SourceUnavailable, match=r"/nonexistent\.pem"):
        await _get(made, SIGNED)
