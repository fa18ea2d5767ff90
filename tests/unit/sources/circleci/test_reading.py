"""Lenient readers: nonsense is nothing."""

import pytest

from headgate.sources.circleci.reading import integer, known, objects, repository, sub, text, texts, uuid_text

UUID = "7124cb89-1b64-44a5-b67e-9e91e6e861bb"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/web", "https://github.com/acme/web"),
        ("https://github.com/acme/web.git", "https://github.com/acme/web"),
        ("https://user:secret@GitHub.com/acme/web.git/", "https://github.com/acme/web"),
        ("http://ghe.local:8080/acme/web", "https://ghe.local:8080/acme/web"),
        ("git@gitlab.com:acme/sub/web.git", "https://gitlab.com/acme/sub/web"),
        ("ssh://git@bitbucket.example:7999/acme/web.git", "https://bitbucket.example/acme/web"),
        ("git://github.com/acme/web.git", "https://github.com/acme/web"),
        ("https://github.com/acme/web?token=secret#x", "https://github.com/acme/web"),
        ("gitlab.com:acme/web", "https://gitlab.com/acme/web"),
        ("", None),
        (None, None),
        ("nonsense", None),
        ("https://", None),
        ("https://github.com/", None),
        ("https://[bad/acme", None),
        ("https://github.com:port/acme/web", None),
        ("file:///etc/passwd", None),
    ],
)
def test_repository(url, expected):
    """One form for every way to write an address; never a credential."""
    assert expected == repository(url)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        ("5", 5),
        (" 7 ", 7),
        (True, None),
        (5.5, None),
        ("5.5", None),
        (None, None),
        (2**63, None),
        ("9" * 30, None),
    ],
)
def test_integer(value, expected):
    """Whole numbers, also as text; nothing that does not fit 64 bits."""
    assert expected == integer(value)


def test_text_and_ids():
    """Blank is missing; an id is lower case or nothing."""
    assert (text(" a "), text("  "), text(5), text(None)) == ("a", None, None, None)
    assert (uuid_text(UUID.upper()), uuid_text("x"), uuid_text(None)) == (UUID, None, None)


def test_inside_objects():
    """Wrong types on the way give nothing."""
    assert sub({"a": {"b": {"c": 1}}}, "a", "b") == {"c": 1}
    assert (sub({"a": 5}, "a", "b"), sub(None, "a"), sub({}, "a")) == ({}, {}, {})
    assert objects([{"a": 1}, None, "x"]) == [{"a": 1}]
    assert (texts(["a", "", None, "b "]), texts({"k": 1}), texts("x")) == (["a", "b"], ["k"], [])


def test_known_keeps_false_and_zero():
    """Only None, empty text and empty lists are left out."""
    assert known(a=None, b="", c=[], d=0, e=False) == {"d": 0, "e": False}
