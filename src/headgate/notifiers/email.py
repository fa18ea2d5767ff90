"""Notifier `email`: a message by SMTP, as text and as HTML, in a thread per group.

Each address gets a mail or not by the server's word alone; its Message-ID is made of the message's key, so that
a mail that is sent twice, because the server's answer was lost, is shown once by mail programs that look at it.
"""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from headgate.core.errors import BatchRejected, PartlyTaken, SinkError, SinkRefused, SinkUnavailable
from headgate.core.messages import Exchange, Message
from headgate.core.ports import BuildContext, Plugin, TransportOptions
from headgate.core.times import DAY_MS, MINUTE_MS
from headgate.notifiers._letters import body_html, body_text, subject
from headgate.plugins.config import Duration, PluginConfig, Secret, duration_field, reveal
from headgate.plugins.tls import CaFile

__all__ = ["PLUGINS", "EmailConfig", "EmailNotifier", "letter"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_TOO_LARGE = 552
# How long the rest of a thread waits for addresses that are refused with 4xx: servers that greylist take a mail after
# some minutes.
_PATIENCE_MS = 30 * MINUTE_MS
_NAMED = 3
_NOT_ASKED = (421, b"not asked")

_Refused = Mapping[str, tuple[int, bytes]]  # by address


def _address(text: str) -> str:
    name, address = parseaddr(text)
    if any(mark in text for mark in "\r\n\0") or address.count("@") != 1 or not all(address.split("@")):
        raise ValueError(f"{text!r} is not a mail address")
    return f"{name} <{address}>" if name else address


class EmailConfig(PluginConfig):
    """Configuration of an e-mail notifier."""

    host: str = Field(min_length=1, description="The SMTP server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="587 with starttls, 465 with tls, 25 with none.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected; `none` is for a relay on this host."
    )
    username: str | None = Field(default=None, description="For SMTP authentication, with `password`.")
    password: Secret | None = Field(default=None, description="For SMTP authentication.")
    sender: str = Field(description="Address that mails come from; a name before it in the form Name <address>.")
    to: tuple[str, ...] = Field(min_length=1, max_length=100, description="Addresses that mails go to.")
    timeout: Duration = duration_field("20s", "How long one step of the conversation may take.")
    ca_file: CaFile | None = Field(default=None, description="PEM file of a private certificate authority.")
    verify: bool = Field(default=True, description="Check the server's certificate.")

    @field_validator("sender")
    @classmethod
    def _sender(cls, text: str) -> str:
        return _address(text)

    @field_validator("to")
    @classmethod
    def _to(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address(text) for text in texts)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.username is not None and self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError("security: none would send the password in the clear; use starttls or tls")
        if not 1000 <= self.timeout <= 60_000:
            raise ValueError("timeout: between 1s and 60s")
        return self


def letter(config: EmailConfig, message: Message) -> EmailMessage:
    """The mail. The same message gives the same mail on every attempt."""
    mail = EmailMessage()
    mail["Subject"] = subject(message)
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.to)
    at_ms = message.digest.until_ms if message.digest else max(one.at_ms for one in message.notifications)
    mail["Date"] = format_datetime(datetime.fromtimestamp(at_ms / 1000, UTC))
    mail["Message-ID"] = _message_id(config, message.key)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Headgate-Key"] = hashlib.sha256(message.key.encode()).hexdigest()
    if first := message.memory.get("thread"):
        mail["In-Reply-To"] = mail["References"] = first
    mail.set_content(body_text(message))
    mail.add_alternative(body_html(message), subtype="html")
    if message.digest is not None and message.digest.file:
        mail.add_attachment(message.digest.file, subtype="html", filename=message.digest.file_name)
    return mail


def _message_id(config: EmailConfig, key: str) -> str:
    domain = parseaddr(config.sender)[1].partition("@")[2]
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


@dataclass(frozen=True, slots=True)
class _Begun:
    """A mail that some addresses are still to get: since when, and which need it no more."""

    since_ms: int
    done: frozenset[str] = frozenset()


class EmailNotifier:
    """One mail a message; a connection each, since alerts are rare.

    Who has got a mail is remembered until the end of the process: after that, all get it again under the same id.
    """

    grouped = True
    digests = True

    def __init__(self, name: str, config: EmailConfig, context: BuildContext) -> None:  # noqa: ARG002  # the port's
        self.name = name
        self.transport = TransportOptions(ca_file=config.ca_file, verify=config.verify)
        self._config = config
        self._addresses = tuple(dict.fromkeys(parseaddr(one)[1] for one in config.to))
        self._begun: dict[str, _Begun] = {}  # by the message's key
        self._late: set[str] = set()  # addresses that ran out of patience and took nothing since

    async def send(self, message: Message, *, now_ms: int, http: Exchange) -> Mapping[str, str]:  # noqa: ARG002  # SMTP
        """Send one mail, then remember the first of the thread until all of it is over.

        Where the server refuses some addresses and takes others, PartlyTaken: those that it refuses with 4xx get the
        same mail on the next attempts, for half an hour; those that were refused for so long before are not waited for.
        """
        mail = letter(self._config, message)
        begun = self._begun.get(message.key, _Begun(now_ms))
        to = [one for one in self._addresses if one not in begun.done]
        refused = await asyncio.to_thread(self._post, mail, to, begun.done)
        self._late -= set(to) - refused.keys()
        over = message.digest is not None or message.tone != "firing"
        memory = {} if over else {"thread": message.memory.get("thread") or str(mail["Message-ID"])}
        self._begun = {
            key: one for key, one in self._begun.items() if key != message.key and now_ms - one.since_ms < DAY_MS
        }
        if not refused:
            return memory
        waiting = {address for address, (code, _) in refused.items() if code < 500} - self._late
        again = bool(waiting) and now_ms - begun.since_ms < _PATIENCE_MS
        if again:
            self._begun[message.key] = _Begun(begun.since_ms, begun.done | (set(to) - waiting))
        else:
            self._late |= waiting
        raise PartlyTaken(self._refusals(refused), again=again, memory=memory)

    async def reach(self, http: Exchange) -> None:  # noqa: ARG002  # SMTP
        """Connect, log in, and ask whether the server would take mail from the sender to each address."""
        await asyncio.to_thread(self._ask)

    def _post(self, mail: EmailMessage, to: Sequence[str], done: frozenset[str]) -> _Refused:
        """Those of `to` that the server refuses. That it refuses all is an error, unless others are done."""
        with self._translated(), self._server() as server:
            try:
                return server.send_message(mail, to_addrs=to)
            except smtplib.SMTPRecipientsRefused as exc:
                if not done:
                    raise
                return {address: exc.recipients.get(address, _NOT_ASKED) for address in to}

    def _refusals(self, refused: _Refused) -> str:
        named = [f"{address}: {self._words(words)}" for address, (_, words) in refused.items()]
        more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
        return f"smtp server {self._config.host} takes mail for others and refuses {'; '.join(named[:_NAMED] + more)}"

    def _ask(self) -> None:
        with self._translated(), self._server() as server:
            server.ehlo_or_helo_if_needed()
            code, words = server.mail(parseaddr(self._config.sender)[1])
            if code >= 400:
                raise smtplib.SMTPSenderRefused(code, words, self._config.sender)
            refused = {}
            for address in self._config.to:
                code, words = server.rcpt(parseaddr(address)[1])
                if code >= 400:
                    refused[address] = (code, words)
            server.rset()
            if refused:
                raise smtplib.SMTPRecipientsRefused(refused)

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """A connection, protected and logged in. Its end is not waited for: the mail was taken by then."""
        config = self._config
        port, seconds = config.port or _PORTS[config.security], config.timeout / 1000
        context = ssl.create_default_context(cafile=config.ca_file)
        if not config.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        server: smtplib.SMTP
        if config.security == "tls":
            server = smtplib.SMTP_SSL(config.host, port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(config.host, port, timeout=seconds)
        try:
            if config.security == "starttls":
                server.starttls(context=context)
            if config.username is not None:
                server.login(config.username, reveal(config.password))
            yield server
        finally:
            server.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise what went wrong in the words of the port."""
        try:
            yield
        except (smtplib.SMTPException, OSError) as exc:
            raise self._error(exc) from exc

    def _error(self, exc: Exception) -> SinkError:
        where = f"smtp server {self._config.host}"
        match exc:
            case smtplib.SMTPNotSupportedError():
                text = f"{where} does not offer what security and username ask for"
                return SinkRefused(text, reason="config", fix="check security (starttls, tls, none), port, username")
            case smtplib.SMTPAuthenticationError():
                return SinkRefused(f"{where}: {self._words(exc.smtp_error)}", reason="auth", fix="check the password")
            case smtplib.SMTPRecipientsRefused():
                address, (code, words) = next(iter(exc.recipients.items()))
                return self._by_code(code, f"{where} refuses {address}: {self._words(words)}", "check `to`")
            case smtplib.SMTPSenderRefused():
                return self._by_code(exc.smtp_code, f"{where}: {self._words(exc.smtp_error)}", "check `sender`")
            case smtplib.SMTPDataError() if exc.smtp_code >= 500:
                reason = "too_large" if exc.smtp_code == _TOO_LARGE else "refused"
                return BatchRejected(f"{where}: {self._words(exc.smtp_error)}", status=exc.smtp_code, reason=reason)
        return SinkUnavailable(f"{where}: {self._broken(exc)}")

    def _broken(self, exc: Exception) -> str:
        """Why the conversation ended early."""
        match exc:
            case smtplib.SMTPResponseException():
                return self._words(exc.smtp_error)
            case ssl.SSLCertVerificationError():
                return f"certificate not accepted ({exc.verify_message})"
            case socket.gaierror():
                return "host name not known"
            case OSError(errno=int() as number, strerror=str() as words) if number > 0:
                return words
        return type(exc).__name__

    @staticmethod
    def _by_code(code: int, text: str, fix: str) -> SinkError:
        return SinkUnavailable(text) if code < 500 else SinkRefused(text, reason="config", fix=fix)

    def _words(self, words: bytes | str) -> str:
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        secret = reveal(self._config.password)
        return (text.replace(secret, "***") if secret else text)[:300]


PLUGINS = (Plugin("notifier", "email", EmailConfig, EmailNotifier),)
