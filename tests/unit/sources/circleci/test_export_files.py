"""Files of usage exports are downloaded from where they were looked at, and from nowhere inside our own network."""

import httpx
import pytest
import respx

from headgate.core.errors import SourceUnavailable
from headgate.core.metrics import NullMetrics
from headgate.sources.circleci import ways
from headgate.sources.circleci.api import ApiOptions
from headgate.sources.circleci.export_files import Downloads
from headgate.sources.circleci.ways import Ways

PUBLIC = "93.184.216.34"
SIGNED = "https://store.example/usage.csv.gz?X-Amz-Signature=f94d"


@pytest.fixture
def answers(monkeypatch):
    """What each look-up of a name gives, one after the other."""
    given = []

    async def addresses(_host, _port):
        return given.pop(0)

    monkeypatch.setattr(ways, "_addresses", addresses)
    return given


async def fetch(url):
    """The bytes of one file."""
    options = ApiOptions("https://circleci.com", user_agent="test")
    downloads = Downloads("ci", options, Ways("https://circleci.com", ("minio.internal",)), 1000, NullMetrics())
    async with downloads.fetched([url]) as (path,):
        return path.read_bytes()


@respx.mock
async def test_what_was_looked_at_is_what_is_asked(answers):
    """Where the name leads a moment later is nothing to us; certificate and server still hear the name."""
    answers += [[PUBLIC], ["127.0.0.1"]]
    route = respx.get(SIGNED.replace("store.example", PUBLIC)).respond(200, content=b"file")
    assert await fetch(SIGNED) == b"file"
    request = route.calls.last.request
    assert (request.headers["host"], request.extensions["sni_hostname"]) == ("store.example", "store.example")
    assert answers == [["127.0.0.1"]]


@respx.mock
async def test_the_first_address_that_answers_is_asked(answers):
    """A machine without IPv6 reaches a host that has both."""
    answers += [["2606:2800:21f:cb07::1", PUBLIC]]
    first = respx.get(SIGNED.replace("store.example", "[2606:2800:21f:cb07::1]")).mock(side_effect=httpx.ConnectError)
    respx.get(SIGNED.replace("store.example", PUBLIC)).respond(200, content=b"file")
    assert await fetch(SIGNED) == b"file"
    assert first.called


@respx.mock
async def test_a_host_that_is_configured_may_be_inside():
    """It is asked by its name, and may speak http."""
    respx.get("http://minio.internal/usage.csv.gz").respond(200, content=b"file")
    assert await fetch("http://minio.internal/usage.csv.gz") == b"file"


@pytest.mark.parametrize("url", [SIGNED, "http://store.example/usage.csv.gz", "https://[", "file:///etc/passwd"])
async def test_addresses_inside_are_not_asked(answers, url):
    """The error names the file and not its address."""
    answers += [[PUBLIC, "10.0.0.7"]]
    with respx.mock(assert_all_called=False) as router:
        asked = router.route().respond(200, content=b"file")
        with pytest.raises(SourceUnavailable) as caught:
            await fetch(url)
    words = "file 1 of 1 of the usage export: its address leads to no https host of the open network"
    assert str(caught.value).startswith(words)
    assert "store.example" not in str(caught.value)
    assert not asked.called
