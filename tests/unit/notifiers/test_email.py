"""Notifier `email` against a real SMTP server on loopback, and how letters read."""

import dataclasses
import email
import email.policy
import ssl
import subprocess
from contextlib import contextmanager

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, PartlyTaken, SinkRefused, SinkUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.notifiers._letters import body_html, body_text, subject
from headgate.notifiers.email import EmailConfig, EmailNotifier, letter
from headgate.testing.notifier_suite import DIGEST, GROUP, NOTIFICATIONS, NOW_MS, notification, told

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")


class Mailbox:
    """What the server took and for whom, and how it is told to answer."""

    def __init__(self, answers=None):
        self.mails = []
        self.given = []
        self.answers = answers or {}

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  # the server's name
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802  # the server's name
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # the server's name
        answer = self.answers.get("DATA", "250 taken")
        if answer.startswith("250"):
            self.given.append(tuple(envelope.rcpt_tos))
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return answer


class OnLoopback(Controller):
    """A server on a port of the system's choice."""

    def __init__(self, handler, **options):
        super().__init__(handler, hostname="127.0.0.1", port=0, **options)

    def _trigger_server(self):
        """The library asks port 0 for its banner; ours is known only now."""
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def server(mailbox, **options):
    """The port of a running server."""
    running = OnLoopback(mailbox, **options)
    running.start()
    try:
        yield running.port
    finally:
        running.stop()


def notifier(port, **more):
    """One that speaks to that server without TLS."""
    base = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "CI <ci@acme.example>"}
    return EmailNotifier("mail", EmailConfig(**{**base, "to": ("dev@acme.example",), **more}), CONTEXT)


async def send(made, message):
    """Send one message; nothing goes over HTTP."""
    return await made.send(message, now_ms=NOW_MS, http=None)


async def test_every_message_arrives_readable():
    """Whatever labels and texts hold, groups and digests too; text and HTML; the key in the head."""
    box = Mailbox()
    given = [*map(told, NOTIFICATIONS.values()), told(*GROUP)]
    with server(box) as port:
        for message in given:
            await send(notifier(port), message)
    assert len(box.mails) == len(given)
    for message, mail in zip(given, box.mails, strict=True):
        text, html = (part.get_content() for part in mail.iter_parts())
        assert "".join(mail["subject"].split()) == "".join(subject(message).split())
        assert mail["to"] == "dev@acme.example"
        assert mail["auto-submitted"] == "auto-generated"
        for one in message.notifications:
            assert one.rule[:100] in text
        assert "<script" not in html
    hostile = box.mails[list(NOTIFICATIONS).index("hostile")]
    assert "javascript:" not in next(iter(hostile.iter_parts())).get_content().split("\n")[0]
    assert 'href="javascript' not in list(hostile.iter_parts())[1].get_content()


async def test_a_group_is_a_thread_until_it_is_over():
    """Later mails refer to the first; what is remembered goes with the end."""
    box = Mailbox()
    with server(box) as port:
        made = notifier(port)
        memory = await send(made, told(notification()))
        again = await send(made, told(notification(key="later"), memory=memory))
        over = await send(made, told(notification(key="over", state="resolved", ends_ms=NOW_MS), memory=again))
    first, second, third = box.mails
    assert (memory, over) == (again, {})
    assert second["in-reply-to"] == third["references"] == first["message-id"]
    assert "in-reply-to" not in first
    assert len({mail["message-id"] for mail in box.mails}) == 3


def test_an_attempt_repeats_the_mail():
    """The same id, date and text, so that a mail program can tell a repeat."""
    config = notifier(25)._config
    one, two = letter(config, told(*GROUP)), letter(config, told(*GROUP))
    for name in ("message-id", "date", "subject", "x-headgate-key"):
        assert one[name] == two[name]
    assert [part.get_content() for part in one.iter_parts()] == [part.get_content() for part in two.iter_parts()]


async def test_digests_are_sent_as_they_were_written():
    """Markdown for text, HTML for the rest."""
    box = Mailbox()
    digest = told(notification(), notifications=(), digest=DIGEST, key=DIGEST.key)
    with server(box) as port:
        assert await send(notifier(port), digest) == {}
    (mail,) = box.mails
    text, html = (part.get_content() for part in mail.iter_parts())
    assert mail["subject"] == DIGEST.title
    assert DIGEST.markdown.strip() in text.replace("\r\n", "\n")
    assert DIGEST.html in html


async def test_a_file_of_a_digest_is_attached():
    """Under its name, as it was written, beside text and HTML."""
    box, page = Mailbox(), "<!doctype html><p>\u2713 done</p>"
    digest = dataclasses.replace(DIGEST, file_name="headgate-week.html", file=page)
    with server(box) as port:
        await send(notifier(port), told(notification(), notifications=(), digest=digest, key=digest.key))
    (mail,) = box.mails
    (file,) = mail.iter_attachments()
    assert ("headgate-week.html", "text/html") == (file.get_filename(), file.get_content_type())
    assert page == file.get_content().strip()
    assert DIGEST.html in mail.get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("answers", "kind", "reason"),
    [
        ({"DATA": "451 try later"}, SinkUnavailable, ""),
        ({"DATA": "552 too big"}, BatchRejected, "too_large"),
        ({"DATA": "554 spam"}, BatchRejected, "refused"),
        ({"dev@acme.example": "550 no such user"}, SinkRefused, "config"),
        ({"dev@acme.example": "450 greylisted"}, SinkUnavailable, ""),
        ({"MAIL": "550 not you"}, SinkRefused, "config"),
        ({"MAIL": "421 closing"}, SinkUnavailable, ""),
    ],
)
async def test_answers_of_the_server(answers, kind, reason):
    """4xx is tried again, 5xx is somebody's to mend or given up."""
    with server(Mailbox(answers)) as port, pytest.raises(kind) as caught:
        await send(notifier(port), told(notification()))
    assert getattr(caught.value, "reason", "") == reason


async def test_one_refused_address_does_not_keep_the_others_from_being_told():
    """The rest get the mail and the thread goes on; the error and `check` name the address and its server's words."""
    box = Mailbox({"gone@acme.example": "550 no such user"})
    with server(box) as port:
        made = notifier(port, to=("gone@acme.example", "dev@acme.example"))
        with pytest.raises(PartlyTaken, match=r"gone@acme\.example: .*no such user") as caught:
            await send(made, told(notification()))
        assert box.given == [("dev@acme.example",)]
        assert (caught.value.again, caught.value.memory) == (False, {"thread": box.mails[0]["message-id"]})
        with pytest.raises(SinkRefused, match=r"gone@acme\.example: .*no such user"):
            await made.reach(None)
        assert len(box.mails) == 1


TWO = ("dev@acme.example", "On Call <oncall@b.example>")
LATER = {"oncall@b.example": "450 greylisted"}


async def test_an_address_that_is_refused_for_now_gets_the_mail_later():
    """The same mail, to it alone; other messages go to all meanwhile; then the thread goes on."""
    box = Mailbox(dict(LATER))
    with server(box) as port:
        made = notifier(port, to=TWO)
        for _ in range(2):
            with pytest.raises(PartlyTaken, match=r"oncall@b\.example: greylisted") as caught:
                await send(made, told(notification()))
            assert caught.value.again
        assert box.given == [("dev@acme.example",)]
        box.answers.clear()
        assert await send(made, told(notification(key="other", fingerprint="e" * 64)))
        memory = await send(made, told(notification()))
    assert box.given[1:] == [("dev@acme.example", "oncall@b.example"), ("oncall@b.example",)]
    assert box.mails[0]["message-id"] == box.mails[2]["message-id"] == memory["thread"]
    assert box.mails[0]["to"] == box.mails[2]["to"]


async def test_an_address_that_is_refused_for_long_is_not_waited_for():
    """After half an hour the others' next mails do not wait, until it takes one; then it is waited for again."""
    box, minute = Mailbox(dict(LATER)), 60_000
    with server(box) as port:
        made = notifier(port, to=TWO)

        async def again(key, at_ms):
            """Whether this message should be sent again."""
            with pytest.raises(PartlyTaken) as caught:
                await made.send(told(notification(key=key)), now_ms=at_ms, http=None)
            return caught.value.again

        assert await again("a", 0)
        assert await again("a", 29 * minute)
        assert not await again("a", 30 * minute)
        assert not await again("b", 31 * minute)
        box.answers.clear()
        await made.send(told(notification(key="c")), now_ms=32 * minute, http=None)
        box.answers.update(LATER)
        assert await again("d", 33 * minute)
    both = ("dev@acme.example", "oncall@b.example")
    assert box.given == [both[:1], both[:1], both, both[:1]]


async def test_refusals_for_now_and_for_good_are_told_apart():
    """Who is refused for good is not asked again; the error names few of many."""
    box = Mailbox({**LATER, **{f"gone{number}@b.example": "550 no such user" for number in range(9)}})
    gone = tuple(f"gone{number}@b.example" for number in range(9))
    with server(box) as port:
        made = notifier(port, to=(*gone, *TWO))
        with pytest.raises(PartlyTaken, match="no such user; and 7 more") as caught:
            await send(made, told(notification()))
        assert caught.value.again
        box.answers["oncall@b.example"] = "550 no such user"
        with pytest.raises(PartlyTaken, match=r"refuses oncall@b\.example: no such user") as caught:
            await send(made, told(notification()))
    assert not caught.value.again
    assert box.given == [("dev@acme.example",)]


async def test_nobody_there():
    """A server that is down is tried again."""
    box = Mailbox()
    with server(box) as port:
        pass
    with pytest.raises(SinkUnavailable, match="Connection refused"):
        await send(notifier(port), told(notification()))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for loopback, its own authority."""
    place = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")]
    subprocess.run([*made, "-addext", names, *files], check=True, capture_output=True)
    return place


def authenticator(server, session, envelope, mechanism, data):
    """One user."""
    return AuthResult(success=(data.login, data.password) == (b"ci", b"s3cret-of-ci"), handled=False)


async def test_starttls_and_password(certificate):
    """The password goes over TLS alone; a wrong one holds the notifier and is not repeated; no trust, no password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    box = Mailbox()
    options = {"authenticator": authenticator, "auth_required": True, "auth_require_tls": True, "tls_context": context}
    trusted = {"security": "starttls", "ca_file": str(certificate / "cert.pem"), "username": "ci"}
    with server(box, **options) as port:
        await send(notifier(port, **trusted, password="s3cret-of-ci"), told(notification()))
        await notifier(port, **trusted, password="s3cret-of-ci").reach(None)
        with pytest.raises(SinkRefused) as refused:
            await send(notifier(port, **trusted, password="wr0ng-of-ci"), told(notification()))
        untrusted = {**trusted, "ca_file": None}
        with pytest.raises(SinkUnavailable, match="certificate not accepted"):
            await send(notifier(port, **untrusted, password="s3cret-of-ci"), told(notification()))
    assert (refused.value.reason, "wr0ng" in str(refused.value)) == ("auth", False)
    assert len(box.mails) == 1


async def test_a_server_without_starttls_is_told_apart():
    """Nothing is sent in the clear; the error says what to change."""
    box = Mailbox()
    with server(box) as port, pytest.raises(SinkRefused, match="security"):
        await send(notifier(port, security="starttls"), told(notification()))
    assert box.mails == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sender": "ci"}, "not a mail address"),
        ({"to": ()}, "at least 1 item"),
        ({"to": ("a@b", "x\r\nBcc: y@z")}, "not a mail address"),
        ({"username": "ci"}, "belong together"),
        ({"host": "mail.acme.example", "username": "ci", "password": "x"}, "in the clear"),
        ({"timeout": "5m"}, "between 1s and 60s"),
        ({"recipient": "a@b"}, "Extra inputs"),
    ],
)
def test_configurations_that_cannot_work(given, words):
    """Refused while loading, in words."""
    with pytest.raises(ValidationError, match=words):
        notifier(25, **given)


def test_subjects_are_one_line():
    """No control characters, bounded, also of digests."""
    hostile = notification(rule="A\r\nBcc: x@y", labels={"project": "\u2028" + "p" * 500})
    assert "\n" not in subject(told(hostile))
    assert len(subject(told(hostile))) <= 200
    assert subject(told(*GROUP)).startswith("[FIRING:40]")


def test_letters_escape_and_name_everything():
    """Labels, numbers of times and links are there; markup of outsiders is text."""
    one = told(NOTIFICATIONS["firing"])
    assert "https://app.circleci.com/x?a=1&b=2" in body_text(one)
    assert 'href="https://app.circleci.com/x?a=1&amp;b=2"' in body_html(one)
    assert "<img" not in body_html(told(notification(labels={"branch": "<img src=x>"})))
