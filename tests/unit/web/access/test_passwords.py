"""How passwords are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.web.access.passwords import PasswordHash, _derive, decoy, hash_password, is_right, parse_hash

# Of the least cost that is taken.
CHEAP = "$scrypt$ln=14,r=8,p=1$c2FsdC1vZi10aGUtdGVzdA$N2DsCZT6bGzf4yM7O0wFL0sbHcbQAhRLH0NO8H1Mgy0"


def cheap(password: str) -> PasswordHash:
    """Made as `hash_password` does, for less."""
    kept = PasswordHash(14, 8, 1, b"salt-of-the-test", b"0" * 32)
    return replace(kept, key=_derive(password, kept, 32))


def test_a_hash_says_everything_that_is_needed_to_check():
    """It reads back as it was, opens to its password alone, and is never twice the same."""
    one, other = hash_password("correct horse"), hash_password("correct horse")
    assert one == parse_hash(f" {one} \n")
    assert one != other
    assert [True, False] == [is_right("correct horse", one), is_right("correct hors", other)]
    assert str(one).startswith("$scrypt$ln=15,r=8,p=3$")


def test_a_hash_of_another_cost_is_checked_at_that_cost():
    """Somebody's own, made elsewhere."""
    kept = cheap("correct horse")
    assert is_right("correct horse", parse_hash(str(kept)))
    assert not is_right("", kept)


def test_neither_salt_nor_key_is_printed():
    """A trace shows the cost alone."""
    assert "PasswordHash(ln=14, r=8, p=1)" == repr(cheap("x"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("correct horse", "headgate access hash"),
        ("$2b$12$abcdefghijklmnopqrstuv", "headgate access hash"),
        ("$scrypt$ln=15,r=8,p=1$abc$def", "headgate access hash"),
        ("$scrypt$ln=15,r=8,p=1$c2FsdC1vZi10aGUtd$N2DsCZT6bGzf4yM7O0wFL0sbHcbQAhRL", "cut short"),
        (CHEAP.replace("ln=14", "ln=10"), "too little or too much"),
        (CHEAP.replace("ln=14", "ln=30"), "too little or too much"),
        (CHEAP.replace("p=1", "p=99"), "too little or too much"),
        (CHEAP.replace("r=8", "r=1"), "too little or too much"),
    ],
)
def test_what_is_no_hash_says_how_to_make_one(text, words):
    """And never repeats it: it may be the password."""
    with pytest.raises(ValueError, match=words) as caught:
        parse_hash(text)
    assert text not in str(caught.value)


def test_an_unknown_name_costs_what_the_dearest_known_one_costs():
    """Nobody's password is looked at in its place."""
    known = [replace(cheap("x"), p=2), cheap("x")]
    assert (14, 8, 2) == (decoy(known).ln, decoy(known).r, decoy(known).p)
    assert (15, 8, 3) == (decoy(()).ln, decoy(()).r, decoy(()).p)
