"""No secret that a program printed is kept, whatever stands around it, and whatever the cut takes away."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.redact import Redactor, tail

GITHUB = "ghp_a1B2c3D4e5F6a7B8c9D0e1F2a3B4c5D6e7F8"
REDACT = Redactor(["configured-secret", "p@ss word!"])


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("the configured-secret is here", "the *** is here"),
        ("as p%40ss%20word%21 in an address", "as *** in an address"),
        ("git clone https://me:hunter2@github.com/a/b.git", "git clone https://***@github.com/a/b.git"),
        ("postgres://app:pw@db:5432/x", "postgres://***@db:5432/x"),
        (f"remote: {GITHUB} denied", "remote: *** denied"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("export API_TOKEN=abc", "export API_TOKEN=***"),
        ('{"password": "a b c", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("mysql --password=x1 -h db", "mysql --password=*** -h db"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
        ("curl -H 'Circle-Token: abcdef'", "curl -H 'Circle-Token: ***'"),
        ("https://s3/x?X-Amz-Signature=f94d&X-Amz-Date=1", "https://s3/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("token 0123456789abcdef0123456789abcdef01234567", "token ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "***"),
        ("\x1b[31mSECRET_KEY\x1b[0m=oops", "SECRET_KEY=***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\nafter", "***\nafter"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "***"),
    ],
    ids=lambda text: text[:24],
)
def test_secrets_are_taken_out(given_text, expected):
    """Each way in which programs print secrets, with what is left of it."""
    assert REDACT(given_text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "AssertionError: expected 200, got 500",
        "make: *** [build] Error 1",
        "tests/unit/test_login.py::test_x[a-1] FAILED at line 12",
        "Downloading https://pypi.org/simple/requests/ (2.1 MB)",
        "src/main/java/com/example/AuthenticationServiceIntegrationTest.java",
        "test_that_a_very_long_name_of_a_test_with_words_is_kept_as_it_is",
        "Step 3/7 : RUN pip install -r requirements.txt",
    ],
)
def test_ordinary_lines_are_kept(text):
    """What builds print all day comes through as it is."""
    assert REDACT(text) == text


_PRINTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200)
_TOKENS = st.text(string.ascii_letters + string.digits, min_size=36, max_size=60)


@given(before=_PRINTED, after=_PRINTED, body=_TOKENS)
def test_a_configured_secret_never_survives(before, after, body):
    """Whatever stands before and behind."""
    redact = Redactor([f"{body}-!"])
    assert f"{body}-!" not in redact(f"{before}{body}-!{after}")


@given(before=_PRINTED, after=_PRINTED, body=_TOKENS)
def test_a_known_shape_between_blanks_never_survives(before, after, body):
    """A GitHub token is taken out of any text."""
    assert f"ghp_{body}" not in REDACT(f"{before} ghp_{body} {after}")


@given(text=_PRINTED)
def test_twice_is_once(text):
    """What was redacted is redacted: retries keep equal bytes."""
    once = REDACT(text)
    assert REDACT(once) == once


@given(lines=st.lists(st.text(string.printable, max_size=60), max_size=80), limit=st.integers(64, 512))
def test_a_tail_is_as_short_as_it_must_be(lines, limit):
    """Never longer than the limit in bytes, and marked where something is missing."""
    text = "\n".join(lines)
    found = tail(text, REDACT, limit)
    assert len(found.encode()) <= limit
    assert found.startswith("[... cut ...]\n") or found == REDACT(text).strip("\n")


def test_a_tail_of_a_long_output_ends_as_it_ends():
    """The end is what says why a step failed; a secret that the cut would halve is gone before it."""
    text = "x " * 100_000 + f"\nTOKEN={GITHUB}\n" + "y" * 230
    found = tail(text, REDACT, 256)
    assert found.startswith("[... cut ...]\n")
    assert found.endswith("y" * 200)
    assert "e7F8" not in found


def test_a_tail_counts_bytes():
    """Letters of several bytes are not cut in two."""
    found = tail("ä" * 1000, REDACT, 101)
    assert found == "[... cut ...]\n" + "ä" * 43


def test_short_secrets_would_take_words_along():
    """A configured secret of five letters is left alone: every `build` would go."""
    assert Redactor(["build"])("build it") == "build it"


def test_an_output_without_a_blank_keeps_its_end():
    """One endless line is cut somewhere."""
    assert tail("y" * 100_000, REDACT, 256).endswith("y" * 200)
