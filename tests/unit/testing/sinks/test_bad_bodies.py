"""Every fake refuses what its vendor refuses."""

import ssl

import httpx
import pytest

from headgate.testing.sinks import FakeVendor, fakes

HTTP = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no certificates to load: loopback is plain
    limits=httpx.Limits(max_keepalive_connections=0),
)
ROWS = [(name, bad) for name, fake in sorted(fakes().items()) for bad in fake.bad_bodies]


@pytest.mark.parametrize(("name", "bad"), ROWS, ids=[f"{name}-{bad.name}" for name, bad in ROWS])
def test_bad_body_is_refused_and_nothing_is_stored(name, bad):
    """A listed bad body gets its status and its reason, and leaves the store empty."""
    with FakeVendor(name, **bad.options) as fake:
        answer = HTTP.request(bad.method, fake.url + bad.path, content=bad.body, headers=bad.headers)
        assert (bad.status, []) == (answer.status_code, fake.stored())
        assert bad.reason in answer.text


@pytest.mark.parametrize("name", sorted(fakes()))
def test_each_fake_lists_ten_bad_bodies(name):
    """A fake names at least ten bad bodies, each once."""
    names = [bad.name for bad in fakes()[name].bad_bodies]
    assert len(names) == len(set(names)) >= 10
