"""The generic HTTP sink: formats, templated headers, signatures, and which statuses mean success."""

from __future__ import annotations

import gzip
import hmac
from hashlib import sha256

import orjson
import pytest
from pydantic import ValidationError

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply
from headgate.core.verdicts import SendResult
from headgate.sinks.http import PLACEHOLDERS, HttpConfig, HttpSinkSignal
from headgate.testing.sink_harness import make_batch, make_entry

URL = "https://hooks.example.com/T0KEN-path?key=T0KEN-query"


def signal(**settings: object) -> HttpSinkSignal:
    """A signal that sends nowhere unless told."""
    return HttpSinkSignal("hooks", HttpConfig.model_validate({"url": URL, **settings}), "headgate-test")


def test_formats_hold_the_stored_bytes() -> None:
    """Lines, array and single object are the records as stored, in order."""
    batch = make_batch(3)
    bodies = [entry.body for entry in batch]
    assert signal().encode(batch).body.split(b"\n") == [*bodies, b""]
    assert orjson.loads(signal(format="array").encode(batch).body) == [orjson.loads(body) for body in bodies]
    single = signal(format="single")
    assert single.encode(batch[:1]).body == bodies[0]
    assert single.limits.max_records == 1


def test_the_method_and_the_address_are_as_configured() -> None:
    """The whole address is used, query included."""
    request = signal(method="PUT", timeout="5s", gzip=True).encode(make_batch(1))
    assert (request.method, request.url, request.timeout_seconds, request.gzip) == ("PUT", URL, 5.0, True)


def test_headers_are_filled_in() -> None:
    """Placeholders tell about the batch; the digest is that of the body."""
    sender = signal(template_headers={"X-Batch": "{sink}/{count}/{sha256}", "X-Fixed": "as is"})
    request = sender.encode(make_batch(4))
    headers = dict(request.headers)
    assert headers["x-batch"] == f"hooks/4/{sha256(request.body).hexdigest()}"
    assert headers["x-fixed"] == "as is"


def test_a_single_record_may_be_told_about() -> None:
    """With one record a request its id, kind and project may be in headers, made safe."""
    entry = make_entry(1, project="gh/acme/wéb\r\nx-evil: 1")
    sender = signal(format="single", template_headers={"X-About": "{record_id} {kind} {project}"})
    assert dict(sender.encode([entry]).headers)["x-about"] == (f"{entry.record_id} job gh/acme/w%C3%A9b%0D%0Ax-evil: 1")


@pytest.mark.parametrize("name", sorted({"record_id", "kind", "project"} & set(PLACEHOLDERS)))
def test_a_batch_has_no_single_record(name: str) -> None:
    """A placeholder that only one record can fill is refused for batches, before the start."""
    with pytest.raises(ValidationError, match="is none of"):
        signal(template_headers={"x-a": f"{{{name}}}"})


@pytest.mark.parametrize(
    "settings",
    [
        {"template_headers": {"x-a": "{nonsense}"}},
        {"template_headers": {"x a": "b"}},
        {"template_headers": {"x-a": "b\r\nc: d"}},
        {"url": "ftp://x/"},
        {"url": "https://user:pw@x/"},
        {"url": " "},
        {"success": []},
        {"success": [302]},
        {"success": [404]},
        {"hmac": {"secret": " "}},
        {"hmac": {"secret": "x", "algorithm": "md5"}},
        {"method": "GET"},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, object]) -> None:
    """Unknown placeholders, broken headers and statuses that are no success stop the start."""
    with pytest.raises(ValidationError) as caught:
        signal(**settings)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_the_signature_is_over_the_bytes_that_are_sent(packed: bool) -> None:
    """A receiver checks what arrives: compressed bytes when the request is compressed."""
    request = signal(hmac={"secret": "s3cret", "header": "X-Sig"}, gzip=packed).encode(make_batch(2))
    headers = dict(request.headers)
    assert headers["x-sig"] == "v1=" + hmac.new(b"s3cret", request.body, sha256).hexdigest()
    assert request.gzip is False
    assert headers.get("content-encoding") == ("gzip" if packed else None)
    plain = gzip.decompress(request.body) if packed else request.body
    assert plain == signal().encode(make_batch(2)).body


def test_success_is_configurable() -> None:
    """A listed status is success; a 2xx that is not listed is not believed."""
    batch = make_batch(1)
    assert signal(success=[207]).interpret(HttpReply(207, {}, b""), batch) == SendResult()
    with pytest.raises(SinkUnavailable):
        signal(success=[207]).interpret(HttpReply(200, {}, b""), batch)


def test_the_address_is_a_secret() -> None:
    """Neither destination nor error shows path or query; two addresses are still told apart."""
    one, other = signal(), signal(url=URL + "2")
    assert one.destination.startswith("https://hooks.example.com/")
    assert one.destination != other.destination
    assert "T0KEN" not in one.destination
    with pytest.raises(SinkRefused) as caught:
        one.interpret(HttpReply(404, {}, f"no such hook: {URL} /T0KEN-path key=T0KEN-query".encode()), make_batch(1))
    assert "T0KEN" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (URL, "invalid key T0KEN-query"),
        ("https://hooks.example.com/?key=T0KEN%2Fquery", "invalid key T0KEN/query, T0KEN%2Fquery or T0KEN\\/query"),
        ("https://hooks.example.com/?v=1&opaque=T0KEN-of-20-letters", "no such customer: T0KEN-of-20-letters"),
        ("https://hooks.example.com/services/T0KEN-of-20-letters/x", "no such hook: T0KEN-of-20-letters"),
    ],
)
def test_a_part_of_the_address_is_a_secret(url: str, words: str) -> None:
    """A refusal that repeats only the key of the query, or one token of the path, does not tell it."""
    with pytest.raises(SinkRefused) as caught:
        signal(url=url).interpret(HttpReply(401, {}, words.encode()), make_batch(1))
    assert words.partition(" ")[0] in str(caught.value)
    assert "T0KEN" not in str(caught.value)


def test_ordinary_words_of_the_address_are_no_secrets() -> None:
    """A version and the name of a service stay in what the far side says."""
    words = "no service events, version 2026-11"
    with pytest.raises(SinkRefused, match=words):
        signal(url="https://hooks.example.com/events/x?version=2026-11").interpret(
            HttpReply(404, {}, words.encode()), make_batch(1)
        )
