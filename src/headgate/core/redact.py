"""Takes secrets out of text that people's programs wrote, before it is kept: outputs of steps, messages of tests. Pure.

Invariant: what looks like a secret goes, also where it was none: a commit id in an output is lost, a key is not kept.
What is left of each is `***`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

__all__ = ["Redactor", "may_hold_token", "redact_tokens", "tail"]

_GONE = "***"
# A shorter configured secret would take ordinary words with it.
_SHORTEST_SECRET = 6
# Looked at before the cut: far more than a token is long, so none is cut before it was seen.
_MARGIN = 16_384
_CUT = "[... cut ...]\n"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[@-Z\\-_])")
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_NAMES = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|credentials?"
    r"|signature|auth|authorization|cookie|session[_-]?id|sig)"
)
# The end of a secret's name and its value, as shells, JSON, YAML, headers, options and addresses write them.
_NAMED = re.compile(
    rf"(?i)(?P<name>{_NAMES}[\w-]{{0,20}}[\"']?(?:\s{{0,3}}[:=]\s{{0,3}}|(?<=[\"'\w])\s(?=[\"']?[^\s\"']{{12}})))"
    r"(?P<scheme>(?:bearer|basic|token)\s{1,3})?"
    r"(?P<value>\"[^\"\n]{1,4096}\"|'[^'\n]{1,4096}'|[^\s\"',;&]{1,4096})"
)
_SCHEME = re.compile(r"(?i)\b(?P<scheme>bearer|basic)\s{1,3}[A-Za-z0-9+/=_.~-]{8,4096}")
_IN_URL = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^\s/@\"'<>]{1,1024}@")
_SHAPES = re.compile(
    r"\b(?:"
    r"gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|glpat-[A-Za-z0-9_-]{16,64}"
    r"|(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}|CCI(?:PAT|PRJ)_[A-Za-z0-9_]{10,255}"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,255}|sk-[A-Za-z0-9_-]{20,255}"
    r"|npm_[A-Za-z0-9]{30,64}|pypi-[A-Za-z0-9_-]{16,512}|AIza[A-Za-z0-9_-]{30,64}|hf_[A-Za-z0-9]{20,64}"
    r"|eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{4,8192}(?:\.[A-Za-z0-9_-]{0,4096})?"
    r")"
)
# Stands in everything that `redact_tokens` takes out, and found in bytes. Every token by shape is a word this long; the
# other two are the marks of an address and of a key block. Ordinary text rarely has any of the three, and looking for
# them costs a third of looking for the beginnings of tokens.
_LONG_WORD = re.compile(rb"[^ ]{15}")
_TOKEN_HINT = re.compile(
    rb"gh[pousr]_|github_pat_|glpat-|A[KSGIR][IPDO]A|xox|CCIP|[spr]k[_-]|npm_|pypi-|AIza|hf_|eyJ|-----BEGIN|://"
)
# Hexadecimal or mixed text without a blank, as long as keys are; CircleCI's older tokens are 40 hexadecimal digits.
_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{32,512}(?![0-9A-Za-z])")
_MIXED = re.compile(r"(?<![A-Za-z0-9+_=-])(?=[A-Za-z+_-]*[0-9])[A-Za-z0-9+_=-]{32,4096}(?:/[A-Za-z0-9+/_=-]{0,4096})?")


def _mixed(match: re.Match[str]) -> str:
    found = match[0]
    random = any(char.isupper() for char in found) and any(char.islower() for char in found)
    return _GONE if random else found


def _named(match: re.Match[str]) -> str:
    value = match["value"]
    mark = value[0] if value[0] in "\"'" and len(value) > 1 else ""
    return f"{match['name']}{match['scheme'] or ''}{mark}{_GONE}{mark}"


class Redactor:
    """Redacts texts. `secrets`: configured ones, taken out wherever they stand, also as addresses write them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        given = {secret.strip() for secret in secrets}
        forms = {form for one in given if len(one) >= _SHORTEST_SECRET for form in (one, quote(one, safe=""))}
        # The longest first, for one secret may begin with another.
        self._secrets = sorted(forms, key=lambda form: (-len(form), form))

    def __call__(self, text: str) -> str:
        """The text without secrets and without the codes that colour a terminal. Doing it twice changes nothing."""
        text = _ANSI.sub("", text)
        for secret in self._secrets:
            text = text.replace(secret, _GONE)
        text = _KEY_BLOCK.sub(_GONE, text)
        text = _IN_URL.sub(rf"\g<scheme>{_GONE}@", text)
        text = _SHAPES.sub(_GONE, text)
        text = _SCHEME.sub(rf"\g<scheme> {_GONE}", text)
        text = _NAMED.sub(_named, text)
        return _MIXED.sub(_mixed, _HEX.sub(_GONE, text))


def redact_tokens(text: str) -> str:
    """The text without what is a token, a private key or a password of an address by its shape alone.

    Milder than `Redactor`: words and commit ids stay, so it is for text that people wrote.
    """
    text = _KEY_BLOCK.sub(_GONE, text)
    text = _IN_URL.sub(rf"\g<scheme>{_GONE}@", text)
    return _SHAPES.sub(_GONE, text)


def may_hold_token(body: bytes, start: int, end: int) -> bool:
    """Whether `redact_tokens` could find anything in this part of a JSON text; errs on the side of yes."""
    marked = body.find(b"://", start, end) >= 0 or body.find(b"-----BEGIN", start, end) >= 0
    if not marked and _LONG_WORD.search(body, start, end) is None:
        return False
    return _TOKEN_HINT.search(body, start, end) is not None


def tail(text: str, redact: Redactor, max_bytes: int) -> str:
    """The end of a text, redacted, at most `max_bytes` of UTF-8; where something is missing before it, it says so."""
    window = text[-(max_bytes + _MARGIN) :]
    cut = len(window) < len(text)
    if cut:  # a line that is not whole may begin inside a secret
        window = window.partition("\n")[2] or window.partition(" ")[2] or window
    clean = redact(window).strip("\n")
    encoded = clean.encode("utf-8", "replace")
    if not cut and len(encoded) <= max_bytes:
        return clean
    room = max(0, max_bytes - len(_CUT))
    end = encoded[len(encoded) - room :] if len(encoded) > room else encoded
    return _CUT + end.decode("utf-8", "ignore")
