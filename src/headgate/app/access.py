"""Who may come in, and over what, as the configuration file says it; and as the web layer takes it.

Invariant: a secret is a reference that was read, and leaves here as its digest or hash alone.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, SecretStr, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from headgate.core.errors import ConfigError
from headgate.plugins import Duration, Secret, duration_field, reveal
from headgate.web.access.grants import SCOPES, Access, Network, ProxyGrant, TokenGrant, UserGrant, digest_of
from headgate.web.access.limits import Limits
from headgate.web.access.passwords import MIN_PASSWORD, parse_hash
from headgate.web.access.who import ROLES, Role

__all__ = ["MIN_TOKEN", "AccessSettings", "TlsSettings", "access_of", "command_token_of", "server_context"]

# Headers that mean something else already, or that clients may send.
_TAKEN: Final = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "origin",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-headgate-request",
        "x-headgate-user",
        "x-request-id",
    }
)
# Nobody types a token: it is as long as one that cannot be guessed, however often somebody may be wrong.
MIN_TOKEN: Final = 16
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _shown(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise ValueError("must be 1 to 100 characters that can be shown")
    return text


def _reach(text: str) -> str:
    if text not in SCOPES and not text.startswith("/"):
        raise ValueError(f"must be one of {', '.join(SCOPES)}, or a path such as /api/v1/insights/*")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text) or text.lower() in _TAKEN:
        raise ValueError("must be a header that only the proxy sets, such as X-Forwarded-User")
    return text


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError("must be an address or a network, such as 10.0.0.7 or 10.0.0.0/28") from exc
    if network.prefixlen == 0:
        raise ValueError("is everybody; write the proxy's own address")
    return text


def _long(token: SecretStr) -> SecretStr:
    if len(reveal(token)) < MIN_TOKEN:
        raise ValueError(f"is shorter than {MIN_TOKEN} characters; make one with `openssl rand -hex 24`")
    return token


class TokenSettings(_Section):
    """One token."""

    token: Annotated[Secret, AfterValidator(_long)] = Field(
        description="The token, by reference, 16 characters at least; a token alone instead of a section is an admin's."
    )
    name: Annotated[str, AfterValidator(_shown)] = Field(default="token", description="Whose it is, for the trail.")
    role: Role = Field(default="viewer", description="What it may.")
    only: tuple[Annotated[str, AfterValidator(_reach)], ...] = Field(
        default=(), description="Reads these alone: metrics, api, badges, or patterns of paths."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"token": value, "role": "admin"} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _limited_tokens_read(self) -> TokenSettings:
        if self.only and self.role != "viewer":
            raise ValueError("a token with `only` reads, so its role is viewer; leave role out")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A token alone, or the section."""
        return {"anyOf": [{"type": "string"}, handler(core)]}


class UserSettings(_Section):
    """One user."""

    password_hash: Secret | None = Field(default=None, description="What `headgate access hash` prints.")
    password: Secret | None = Field(
        default=None, description=f"Or the password, by reference; {MIN_PASSWORD} characters at least."
    )
    role: Role = Field(default="viewer", description="What they may.")

    @model_validator(mode="after")
    def _one_of_them(self) -> UserSettings:
        if (self.password is None) == (self.password_hash is None):
            raise ValueError("write password_hash or password")
        if self.password is not None and len(reveal(self.password)) < MIN_PASSWORD:
            raise ValueError(f"the password is shorter than {MIN_PASSWORD} characters")
        if self.password_hash is not None:
            try:
                parse_hash(reveal(self.password_hash))
            except ValueError as exc:
                raise ValueError(f"password_hash {exc}") from exc
        return self


class ProxySettings(_Section):
    """A reverse proxy: where requests come from, and with roles also whose they are."""

    trusted: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        description="Addresses or networks that the proxy asks from; from anywhere else its headers go. "
        "Without roles it says the client's address and TLS alone."
    )
    header: Annotated[str, AfterValidator(_header)] = Field(
        default="X-Forwarded-User", description="Header with the user's name."
    )
    role: Role | None = Field(default=None, description="What everybody may whom the proxy names; else groups say it.")
    groups_header: Annotated[str, AfterValidator(_header)] | None = Field(
        default=None, description="Header with the user's groups, separated by commas."
    )
    groups: dict[str, Role] = Field(default_factory=dict, description="Group -> what it may; the highest counts.")

    @model_validator(mode="after")
    def _gives_roles(self) -> ProxySettings:
        if not self.trusted:
            raise ValueError("trusted is empty; write the address that the proxy asks from")
        if self.role is None and not self.groups and "header" in self.model_fields_set:
            raise ValueError("write role, or groups_header and groups: nobody whom header names would have a role")
        if bool(self.groups) != (self.groups_header is not None):
            raise ValueError("groups and groups_header go together")
        if self.groups_header is not None and self.groups_header.lower() == self.header.lower():
            raise ValueError("groups_header must be another header than header")
        return self


def _user_name(text: str) -> str:
    if ":" in text:
        raise ValueError("a name of a user has no colon")
    return _shown(text)


class SessionSettings(_Section):
    """How long a login lasts."""

    idle: Duration = duration_field("8h", "It ends when nobody used it for so long.")
    longest: Duration = duration_field("7d", "It ends after so long, whoever uses it.")

    @model_validator(mode="after")
    def _ordered(self) -> SessionSettings:
        if not 60_000 <= self.idle <= self.longest:
            raise ValueError("idle is 1m at least, and not longer than longest")
        return self


class LimitSettings(_Section):
    """How often somebody may ask, and be wrong."""

    known: int = Field(
        default=100,
        ge=10,
        le=100_000,
        description="Requests a second of somebody who is known; ten times as many at once.",
    )
    unknown: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Those of an address that nobody is known at; twenty times as many at once.",
    )
    wrong: int = Field(
        default=5, ge=1, le=100, description="Wrong tokens and passwords of an address before it must wait."
    )


class AccessSettings(_Section):
    """Who may use page and API."""

    tokens: tuple[TokenSettings, ...] = Field(
        default=(), description="Any of these opens; sent as Bearer or as password, or typed at the login page."
    )
    basic: dict[Annotated[str, AfterValidator(_user_name)], UserSettings] = Field(
        default_factory=dict, description="Users with passwords: name -> {password_hash, role}."
    )
    proxy: ProxySettings | None = Field(
        default=None, description="A reverse proxy that speaks TLS for us, and may log people in."
    )
    sessions: SessionSettings = Field(default_factory=SessionSettings, description="How long a login lasts.")
    limits: LimitSettings = Field(
        default_factory=LimitSettings, description="How often somebody may ask, and be wrong."
    )


class TlsSettings(_Section):
    """A certificate of ours. Files are read again at a reload."""

    cert: str = Field(description="Certificate with its chain, PEM; relative to this file.")
    key: str = Field(description="Its private key, PEM, without a passphrase.")
    client_ca: str | None = Field(default=None, description="Only who has a certificate of these authorities connects.")


def access_of(settings: AccessSettings) -> Access:
    """What is granted."""
    return Access(
        tokens=tuple(TokenGrant(one.name, one.role, digest_of(reveal(one.token)), one.only) for one in settings.tokens),
        users=tuple(_user(name, one) for name, one in settings.basic.items()),
        proxy=_proxy(settings.proxy) if settings.proxy is not None else None,
        limits=_limits(settings.limits, settings.sessions),
    )


def _limits(often: LimitSettings, long: SessionSettings) -> Limits:
    return Limits(often.known, often.unknown, often.wrong, idle=long.idle / 1000, longest=long.longest / 1000)


def _user(name: str, settings: UserSettings) -> UserGrant:
    if settings.password_hash is None:
        return UserGrant(name, settings.role, digest_of(reveal(settings.password)))
    text = reveal(settings.password_hash)
    return UserGrant(name, settings.role, digest_of(text), parse_hash(text))


def _proxy(settings: ProxySettings) -> ProxyGrant:
    trusted: list[Network] = [ipaddress.ip_network(one) for one in settings.trusted]
    header = settings.header.lower() if settings.role is not None or settings.groups else ""
    groups_header = (settings.groups_header or "").lower()
    return ProxyGrant(header, settings.role, groups_header, settings.groups, tuple(trusted))


def command_token_of(settings: AccessSettings) -> str | None:
    """The token with which a command asks a daemon that gave it none: the one that may most."""
    whole = [one for one in settings.tokens if not one.only]
    best = max(whole, key=lambda one: ROLES.index(one.role), default=None)
    return reveal(best.token) if best is not None else None


def server_context(settings: TlsSettings, base: Path, key: str) -> ssl.SSLContext:
    """What a listener speaks TLS with. `base`: where paths begin; `key`: of the section.

    Raises ConfigError naming the file and what is wrong with it.
    """
    cert, private = base / settings.cert, base / settings.key
    for name, path in (("cert", cert), ("key", private)):
        _readable(path, f"{key}.{name}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, cert, private, key)
    if settings.client_ca is not None:
        authorities = base / settings.client_ca
        _readable(authorities, f"{key}.client_ca")
        try:
            context.load_verify_locations(cafile=str(authorities))
        except ssl.SSLError as exc:
            raise ConfigError(f"{key}.client_ca: {authorities} holds no certificate in PEM form") from exc
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _readable(path: Path, key: str) -> None:
    try:
        path.read_bytes()
    except PermissionError as exc:
        fix = "let Headgate's user read it, under systemd with LoadCredential= or by a group (docs/access.md, TLS)"
        raise ConfigError(f"{key}: {path} cannot be read: {exc.strerror}; {fix}") from exc
    except OSError as exc:
        raise ConfigError(f"{key}: {path} cannot be read: {exc.strerror}") from exc


def _load_pair(context: ssl.SSLContext, cert: Path, private: Path, key: str) -> None:
    def passphrase() -> str:
        raise ConfigError(f"{key}.key: {private} has a passphrase; write it without one, readable by Headgate alone")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(cert))
    except ssl.SSLError as exc:
        raise ConfigError(f"{key}.cert: {cert} holds no certificate in PEM form") from exc
    try:
        context.load_cert_chain(cert, private, passphrase)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{key}.key: {private} is not the key of the certificate {cert}") from exc
        why = (exc.reason or str(exc)).lower().replace("_", " ")
        raise ConfigError(f"{key}.key: {private} cannot be used with {cert}: {why}") from exc
