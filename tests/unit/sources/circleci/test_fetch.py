"""Outputs and artifacts are fetched without giving our token away, and without being led into our own network."""

import gzip

import httpx
import pytest
import respx

from headgate.core.errors import SourceUnavailable
from headgate.sources.circleci import fetch
from headgate.sources.circleci.fetch import Fetcher, FetchOptions, FetchRefused

SIGNED = "https://store.example/output?X-Amz-Signature=f94d"
PUBLIC = "93.184.216.34"


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

    monkeypatch.setattr(fetch, "_addresses", addresses)
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
    route = respx.get(url).respond(200, content=b"body")
    assert await _get(fetcher, url, artifact=artifact) == b"body"
    headers = route.calls.last.request.headers
    assert headers.get("circle-token") == ("our-token" if sent else None)
    assert "authorization" not in headers


@respx.mock
async def test_a_redirection_loses_the_token(fetcher):
    """CircleCI sends on to a store under a signed address, which gets no token of ours."""
    first = "https://output.circle-artifacts.com/x/junit.xml"
    respx.get(first).respond(302, headers={"location": SIGNED})
    second = respx.get(SIGNED).respond(200, content=b"xml")
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
    respx.get(SIGNED).respond(302, headers={"location": "http://169.254.169.254/"})
    with pytest.raises(FetchRefused, match="address"):
        await _get(fetcher, SIGNED)


@respx.mock
async def test_redirections_end(fetcher):
    """A circle is left."""
    respx.get(SIGNED).respond(302, headers={"location": SIGNED})
    with pytest.raises(FetchRefused, match="redirects"):
        await _get(fetcher, SIGNED)


@respx.mock
async def test_sizes_are_those_of_the_contents(fetcher):
    """A small answer that becomes a large one is ended on the way."""
    packed = gzip.compress(b"0" * 1_000_000)
    respx.get(SIGNED).respond(200, content=packed, headers={"content-encoding": "gzip"})
    with pytest.raises(FetchRefused, match="too_large"):
        await _get(fetcher, SIGNED, max_bytes=10_000)


@respx.mock
@pytest.mark.parametrize("status", [400, 403, 404, 410])
async def test_an_expired_address_is_not_tried_again(fetcher, status):
    """Object stores say so in several ways."""
    respx.get(SIGNED).respond(status)
    with pytest.raises(FetchRefused, match="expired"):
        await _get(fetcher, SIGNED)


@respx.mock
@pytest.mark.parametrize("trouble", [httpx.ConnectError(SIGNED), httpx.ReadTimeout(SIGNED), 503])
async def test_no_error_shows_an_address(fetcher, trouble):
    """It is signed: whoever reads the log could use it."""
    if isinstance(trouble, int):
        respx.get(SIGNED).respond(trouble)
    else:
        respx.get(SIGNED).mock(side_effect=trouble)
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
