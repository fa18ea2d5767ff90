"""What is shown of an endpoint: never its secrets."""

from __future__ import annotations

import pytest

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, TransportOptions
from headgate.sinks._endpoint import EndpointConfig, Redactor, failed_check, fingerprint, judge_check, origin, probe


def test_every_form_of_a_secret_is_taken_out() -> None:
    """Password, its base64 form, header values and proxy credentials vanish from the far side's words."""
    config = EndpointConfig.model_validate(
        {
            "basic_auth": {"user": "me", "password": "pass-word"},
            "headers": {"X-Key": "header-key"},
            "proxy": "http://u:proxy-word@p:1",
        }
    )
    text = "pass-word bWU6cGFzcy13b3Jk Basic bWU6cGFzcy13b3Jk header-key proxy-word http://u:proxy-word@p:1 fine"
    assert config.redactor("more-secret")(f"{text} more-secret") == "*** *** *** *** *** *** fine ***"
    assert config.credentials() == (("x-key", "header-key"), ("authorization", "Basic bWU6cGFzcy13b3Jk"))


def test_short_words_are_not_taken_for_secrets() -> None:
    """A secret of three letters would be found in ordinary text."""
    assert Redactor(["", "abc"])("abc") == "abc"


@pytest.mark.parametrize(
    "written",
    [
        "/a&b/k\u00e9y",
        "%2Fa%26b%2Fk%C3%A9y",
        "/a%26b/k%C3%A9y",
        "\\/a&b\\/k\\u00e9y",
        "/a&b/k\\u00e9y",
        "/a&amp;b/k\u00e9y",
    ],
)
def test_a_secret_is_known_as_others_write_it(written: str) -> None:
    """In addresses, JSON and web pages."""
    assert Redactor(["/a&b/k\u00e9y"])(f"at {written}.") == "at ***."


@pytest.mark.parametrize(
    ("body", "limit", "start"),
    [
        ("no secret", 4, "no s"),
        ("no secret", 400, "no secret"),
        ("is secret-word not", 6, "is ***"),
        ("is secret-word not", 14, "is ***"),
        ("is secret-word not", 18, "is *** not"),
        ("is secret-word not", 2, "is"),
        ("ééé secret-word", 7, "ééé ***"),
        (" " * 100 + "secret-word", 103, "***"),
        ("", 10, ""),
    ],
)
def test_the_start_of_an_answer_holds_no_half_secret(body: str, limit: int, start: str) -> None:
    """What the limit would cut goes as a whole."""
    assert Redactor(["secret-word"]).start(HttpReply(400, {}, body.encode()), limit) == start


def test_origin_has_no_credentials_or_path() -> None:
    """What may be shown of any address."""
    assert origin("https://u:p@host:8443/secret?x=1") == "https://host:8443"
    assert origin("http://host/x") == "http://host"
    assert fingerprint("a") != fingerprint("b")


@pytest.mark.parametrize(
    ("status", "kind", "ok", "reason"),
    [
        (200, "application/json", True, "ok"),
        (204, "", True, "ok"),
        (200, "text/html; charset=utf-8", False, "wrong_product"),
        (404, "", False, "wrong_product"),
        (302, "", False, "wrong_product"),
        (401, "", False, "auth"),
        (403, "", False, "auth"),
        (503, "", False, "not_ready"),
        (429, "", False, "not_ready"),
    ],
)
def test_check_says_what_answered(status: int, kind: str, ok: bool, reason: str) -> None:
    """Each answer to a probe has one of a closed set of reasons, and a fix unless all is well."""
    result = judge_check("sinks.x", "http://far:1", HttpReply(status, {"content-type": kind}, b""), "words", "a Loki")
    assert (result.ok, result.reason, bool(result.fix)) == (ok, reason, not ok)
    assert ok or result.fix.startswith("http://far:1 answered")


def test_a_probe_that_raised_is_a_line_of_check() -> None:
    """A certificate is named apart from an address that nobody answers at."""
    assert failed_check("x", SinkRefused("bad certificate", reason="config")).reason == "tls"
    assert failed_check("x", SinkUnavailable("nobody")).reason == "unreachable"


async def test_a_missing_ca_file_is_no_crash() -> None:
    """A path that does not exist is told as what it is, with the option to look at."""
    with pytest.raises(SinkRefused, match="check ca_file"):
        await probe("GET", "https://127.0.0.1:1/", (), TransportOptions(ca_file="/nowhere/ca.pem"), Redactor(()))
