"""One HTTP endpoint of a sink: its address, credentials and TLS, and what of them must never be shown.

Invariant: no text that leaves this module holds a secret.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import CheckResult, HttpReply, TransportOptions
from headgate.core.verdicts import Verdict, classify
from headgate.plugins.config import Duration, PluginConfig, Secret, duration_field, reveal
from headgate.plugins.tls import CaFile, verification

__all__ = [
    "BaseUrl",
    "BasicAuth",
    "EndpointConfig",
    "Redactor",
    "SecretUrl",
    "answer",
    "connections",
    "failed_check",
    "fingerprint",
    "judge_check",
    "origin",
    "probe",
    "refuse_unprintable",
    "shown_address",
    "unanswered",
]

# Shorter strings would be found in ordinary words; a real secret is longer.
_SHORTEST_SECRET = 4
_CHECK_SECONDS = 10.0
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _address(text: str) -> SplitResult:
    """Check an address: http or https, a host, no credentials."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write an address such as https://host:port/path")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into the address; use basic_auth or bearer_token")
    return parts


def _base_url(text: str) -> str:
    """Check an address that has no query and no fragment either; cut the final slash."""
    parts = _address(text)
    if parts.query or parts.fragment:
        raise ValueError("the address may not have a query or a fragment")
    return text.rstrip("/")


def _secret_url(value: SecretStr) -> SecretStr:
    _address(reveal(value))
    return value


BaseUrl = Annotated[str, AfterValidator(_base_url)]
# Where the path or the query is the key.
SecretUrl = Annotated[Secret, AfterValidator(_secret_url)]


def origin(url: str) -> str:
    """Scheme, host and port of an address: what may always be shown."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def shown_address(url: str) -> str:
    """An address without path and query, which may be a secret, and a short print that tells two apart."""
    return f"{origin(url)}/… ({fingerprint(url)})"


def refuse_unprintable(name: str, text: str) -> None:
    """Raise ValueError for a text that no header can hold; the text itself is not told."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{name} is not printable ASCII")


class BasicAuth(PluginConfig):
    """User and password of HTTP basic authentication."""

    user: str = Field(pattern=r"^[^:]+$", description="User name; for Grafana Cloud the numeric instance id.")
    password: Secret = Field(description="Password or access token.")


class EndpointConfig(PluginConfig):
    """Options that every sink on HTTP has."""

    basic_auth: BasicAuth | None = Field(default=None, description="User and password.")
    bearer_token: Secret | None = Field(default=None, description="Sent as `Authorization: Bearer`.")
    headers: Mapping[str, Secret] = Field(default_factory=dict, description="Further headers; treated as secret.")
    ca_file: CaFile | None = Field(default=None, description="PEM file of a private certificate authority.")
    verify: bool = Field(default=True, description="Verify the server's certificate.")
    proxy: Secret | None = Field(default=None, description="URL of a proxy, with credentials if it needs them.")
    timeout: Duration = duration_field("30s", "Longest time for one request.")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.basic_auth and self.bearer_token:
            raise ValueError("basic_auth and bearer_token exclude each other")
        for name in self.headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a header name")
        for name, text in self.credentials():
            refuse_unprintable(f"the value of header {name}", text)
        return self

    @property
    def timeout_seconds(self) -> float:
        """Longest time for one request."""
        return self.timeout / 1000

    def transport(self) -> TransportOptions:
        """How connections are made."""
        return TransportOptions(ca_file=self.ca_file, proxy=reveal(self.proxy) or None, verify=self.verify)

    def credentials(self) -> tuple[tuple[str, str], ...]:
        """Headers that authenticate, and the configured ones."""
        out = [(name.lower(), reveal(value)) for name, value in self.headers.items()]
        if self.basic_auth:
            pair = f"{self.basic_auth.user}:{reveal(self.basic_auth.password)}"
            out.append(("authorization", "Basic " + base64.b64encode(pair.encode()).decode()))
        if self.bearer_token:
            out.append(("authorization", f"Bearer {reveal(self.bearer_token)}"))
        return tuple(out)

    def redactor(self, *more: str) -> Redactor:
        """A redactor that knows every secret of this endpoint, and `more`."""
        secrets = [value.rpartition(" ")[2] for _, value in self.credentials()]
        secrets += [value for _, value in self.credentials()]
        if self.basic_auth:
            secrets.append(reveal(self.basic_auth.password))
        secrets += [reveal(self.proxy), urlsplit(reveal(self.proxy)).password or ""]
        return Redactor((*secrets, *more))


class Redactor:
    """Takes secrets out of the far side's words before anybody sees them."""

    __slots__ = ("_longest", "_pattern")

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
        found = sorted(forms, key=len, reverse=True)
        self._longest = len(found[0]) if found else 0
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        """The text with each secret replaced by `***`."""
        return self._pattern.sub("***", text) if self._pattern else text

    def start(self, reply: HttpReply, limit: int = 2000) -> str:
        """The first `limit` characters of an answer, without secrets; one that they would cut in half is taken out."""
        # No character has more than four bytes.
        text = reply.body[: 4 * (limit + self._longest)].decode("utf-8", "replace")
        end = limit
        for match in self._pattern.finditer(text, 0, limit + self._longest) if self._pattern else ():
            if match.start() < limit < match.end():
                end = match.end()
        return self(text[:end]).strip()


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as addresses, JSON and web pages write it."""
    quoted = json.dumps(secret)[1:-1]
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        unquote(secret),
        quoted,
        quoted.replace("/", "\\/"),
        html.escape(secret),
    }


def fingerprint(text: str) -> str:
    """Eight hex digits that tell two secret addresses apart without showing either."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


async def connections(options: TransportOptions, timeout_seconds: float) -> httpx.AsyncClient:
    """A client that follows no redirect; without `proxy` it obeys the environment. Its owner closes it.

    Raises SinkRefused (config) where the options cannot be used.
    """
    try:
        verify = await asyncio.to_thread(verification, options)
        return httpx.AsyncClient(verify=verify, proxy=options.proxy, timeout=timeout_seconds, trust_env=True)
    except (OSError, ValueError, httpx.InvalidURL) as exc:
        raise SinkRefused(
            f"cannot prepare connections: {type(exc).__name__}", reason="config", fix="check ca_file and proxy"
        ) from exc


def answer(response: httpx.Response) -> HttpReply:
    """An answer of httpx as the port has it."""
    return HttpReply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)


def unanswered(url: str, error: Exception, clean: Redactor) -> SinkUnavailable | SinkRefused:
    """What it means that a call failed: SinkRefused (config) when the certificate is not trusted."""
    text = clean(str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return SinkRefused(f"{origin(url)}: {text}", reason="config", fix="set ca_file")
    return SinkUnavailable(f"{origin(url)} cannot be reached: {text}")


async def probe(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    options: TransportOptions,
    clean: Redactor,
    *,
    body: bytes | None = None,
    timeout_seconds: float = _CHECK_SECONDS,
) -> HttpReply:
    """Send one request that a person waits for, of `check` or `setup`; it is never repeated, follows no redirect.

    Raises SinkUnavailable when nothing answered, SinkRefused (config) when the certificate is not trusted.
    """
    async with await connections(options, timeout_seconds) as client:
        try:
            return answer(await client.request(method, url, headers=list(headers), content=body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise unanswered(url, exc, clean) from exc


def failed_check(name: str, error: SinkUnavailable | SinkRefused) -> CheckResult:
    """The line of `headgate check` for a probe that raised."""
    if isinstance(error, SinkRefused):
        return CheckResult(name, ok=False, reason="tls", fix=f"{error}")
    return CheckResult(name, ok=False, reason="unreachable", fix=f"{error}; check the address, network and proxy")


def judge_check(
    name: str, at: str, reply: HttpReply, text: str, product: str, *, rights: str = "check the key and its rights"
) -> CheckResult:
    """The line of `headgate check` for an answer.

    `at`: the address that answered and `text`: the start of what it said, both without secrets; `product`: what was
    expected; `rights`: what to look at where the key is refused.
    """
    answered = f"{at} answered {reply.status}: {text}" if text else f"{at} answered {reply.status}"
    verdict = classify(reply.status)
    web_page = reply.headers.get("content-type", "").startswith("text/html")
    if verdict is Verdict.OK and not web_page:
        return CheckResult(name, ok=True, reason="ok")
    if verdict is Verdict.AUTH:
        return CheckResult(name, ok=False, reason="auth", fix=f"{answered}; {rights}")
    if verdict is Verdict.RETRY:
        return CheckResult(name, ok=False, reason="not_ready", fix=f"{answered}; try again later")
    return CheckResult(name, ok=False, reason="wrong_product", fix=f"{answered}; the address is not that of {product}")
