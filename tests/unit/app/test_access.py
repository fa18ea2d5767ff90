"""Who may come in and over what, as the configuration says it: each mistake with its place and what to write."""

from __future__ import annotations

import subprocess
from errno import EACCES
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.test_settings import GOOD, REGISTRY, problems, read

from headgate.app.access import TlsSettings, server_context
from headgate.app.check import check_all
from headgate.app.check_notifiers import NotifierChecks
from headgate.app.compose import Plant
from headgate.app.listeners import certificate_of
from headgate.app.settings import Configuration, load
from headgate.core.clock import ManualClock
from headgate.core.errors import ConfigError
from headgate.testing.relay import make_certificate
from headgate.web.access.grants import digest_of

HASH = "$scrypt$ln=14,r=8,p=1$c2FsdC1vZi10aGUtdGVzdA$N2DsCZT6bGzf4yM7O0wFL0sbHcbQAhRLH0NO8H1Mgy0"
LINE = "headgate.yaml:2: "
LONG = "0123456789abcdef"


def http(tmp_path: Path, text: str, **environ: str) -> Configuration:
    return read(tmp_path, GOOD.replace("store:", f"http: {text}\nstore:"), environ)


def wrong(tmp_path: Path, text: str) -> tuple[str, ...]:
    return problems(tmp_path, GOOD.replace("store:", f"http: {text}\nstore:"))


def test_a_bare_token_is_an_admins_and_a_section_says_what_it_may(tmp_path):
    """Strings mean what they always meant."""
    scoped = "{token: '${B}', name: grafana, only: [api, /badge/*]}"
    text = "{access: {tokens: ['${A}', " + scoped + ", {token: '${A}2', role: admin}]}}"
    first, second, third = http(tmp_path, text, A="a" * 16, B="b" * 48).access.tokens
    assert ("token", "admin", (), digest_of("a" * 16)) == (first.name, first.role, first.only, first.digest)
    assert ("grafana", "viewer", ("api", "/badge/*")) == (second.name, second.role, second.only)
    assert ("token", "admin", ()) == (third.name, third.role, third.only)


def test_users_and_proxies_are_read(tmp_path):
    """With their roles."""
    text = (
        "{access: {basic: {anna: {password_hash: '" + HASH + "', role: admin}, paul: {password: '${P}'}},"
        " proxy: {trusted: [127.0.0.1, 10.0.0.0/28], groups_header: X-Groups, groups: {ops: operator}}}}"
    )
    access = http(tmp_path, text, P="long enough").access
    anna, paul = access.users
    assert ("anna", "admin", 14) == (anna.name, anna.role, anna.password.ln)
    assert ("paul", "viewer", None, digest_of("long enough")) == (paul.name, paul.role, paul.password, paul.mark)
    assert ("x-forwarded-user", None, "x-groups", {"ops": "operator"}) == (
        access.proxy.header,
        access.proxy.role,
        access.proxy.groups_header,
        access.proxy.groups,
    )
    assert access.proxy.trusts("10.0.0.15")


def test_a_proxy_without_roles_names_nobody(tmp_path):
    """It is trusted with addresses and TLS alone; a command that may not read the tokens takes it too."""
    text = "{access: {tokens: ['" + LONG + "'], proxy: {trusted: [127.0.0.1]}}}"
    access = http(tmp_path, text).access
    assert ("", frozenset(), True, False) == (
        access.proxy.header,
        access.proxy.headers,
        access.proxy.trusts("127.0.0.1"),
        access.is_open,
    )
    file = tmp_path / "headgate.yaml"
    file.write_text(file.read_text().replace(LONG, "${NOT_SET}"))
    assert "" == load(REGISTRY, file=file, environ={}, secrets=False).access.proxy.header


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{tokens: [{name: x}]}", "http.access.tokens.0.token: required, and missing"),
        ("{tokens: ['']}", "http.access.tokens.0.token: is blank"),
        (
            "{tokens: [a]}",
            "http.access.tokens.0.token: is shorter than 16 characters; make one with `openssl rand -hex 24`",
        ),
        ("{tokens: [{token: '  123456789-12345  '}]}", "http.access.tokens.0.token: is shorter than 16 characters"),
        (
            "{tokens: [{token: T, role: root}]}",
            "http.access.tokens.0.role: must be 'viewer', 'operator' or 'admin'",
        ),
        (
            "{tokens: [{token: T, only: [metric]}]}",
            "http.access.tokens.0.only.0: must be one of metrics, api, badges",
        ),
        (
            "{tokens: [{token: T, role: admin, only: [api]}]}",
            "http.access.tokens.0: a token with `only` reads",
        ),
        (
            "{tokens: [{token: T, nam: b}]}",
            'http.access.tokens.0.nam: unknown key; did you mean "name"?',
        ),
        ("{token: [a]}", 'http.access.token: unknown key; did you mean "tokens"?'),
        ("{basic: {anna: {role: admin}}}", "http.access.basic.anna: write password_hash or password"),
        ("{basic: {anna: {password: short}}}", "http.access.basic.anna: the password is shorter than 8"),
        ("{basic: {anna: {password_hash: plain-text}}}", "http.access.basic.anna: password_hash is no hash"),
        ("{basic: {'a:b': {password: long enough}}}", "http.access.basic.a:b: a name of a user has no colon"),
        ("{proxy: {trusted: [], role: viewer}}", "http.access.proxy: trusted is empty"),
        ("{proxy: {trusted: [proxy], role: viewer}}", "http.access.proxy.trusted.0: must be an address or a network"),
        ("{proxy: {trusted: [10.0.0.1/8], role: viewer}}", "http.access.proxy.trusted.0: must be an address"),
        ("{proxy: {trusted: [0.0.0.0/0], role: viewer}}", "http.access.proxy.trusted.0: is everybody"),
        ("{proxy: {trusted: ['::1']}}", "http.access.proxy: nobody has to log in; write role, or groups_header and"),
        (
            "{proxy: {trusted: ['::1'], header: X-User}}",
            "http.access.proxy: write role, or groups_header and groups: nobody whom header names",
        ),
        ("{proxy: {trusted: ['::1'], groups: {a: admin}}}", "http.access.proxy: groups and groups_header go together"),
        (
            "{proxy: {trusted: ['::1'], role: viewer, header: Authorization}}",
            "http.access.proxy.header: must be a header that only the proxy sets",
        ),
        (
            "{proxy: {trusted: ['::1'], groups: {a: admin}, groups_header: x-forwarded-USER}}",
            "http.access.proxy: groups_header must be another header",
        ),
    ],
)
def test_each_mistake_has_its_place_and_what_to_write(tmp_path, text, words):
    """And no value is repeated."""
    [problem] = wrong(tmp_path, "{access: " + text.replace("token: T,", f"token: {LONG},") + "}")
    assert problem.startswith(LINE + words)
    assert not any(value in problem for value in ("short}", "plain-text", "long enough"))


@pytest.mark.parametrize(
    ("access", "refused"),
    [
        ("{}", True),
        ("{tokens: [0123456789abcdef]}", False),
        ("{basic: {anna: {password: long enough}}}", False),
        ("{proxy: {trusted: [10.0.0.1], role: viewer}}", False),
    ],
)
def test_other_machines_reach_only_what_is_not_open(tmp_path, access, refused):
    """Any way closes it."""
    text = "{listen: '0.0.0.0:8080', access: " + access + "}"
    if refused:
        assert "0.0.0.0 is reachable from other machines" in wrong(tmp_path, text)[0]
    else:
        assert not http(tmp_path, text).access.is_open


@pytest.mark.parametrize(
    ("listener", "told"),
    [
        ("listen: '0.0.0.0:8080', access: {basic: {anna: {password: long enough}}}", True),
        ("listen: '10.0.0.7:8080', access: {tokens: [0123456789abcdef]}", True),
        ("listen: '0.0.0.0:8080', access: {proxy: {trusted: [10.0.0.1], role: viewer}}", False),
        ("listen: '127.0.0.1:8080'", False),
        (
            "listen: '0.0.0.0:80', tls: {cert: loopback.pem, key: loopback.key}, access: {tokens: [0123456789abcdef]}",
            False,
        ),
    ],
)
async def test_a_check_warns_of_logins_that_can_be_read_on_their_way(tmp_path, listener, told):
    """What other machines reach, without a certificate or a proxy that is trusted; it is no failure."""
    make_certificate(tmp_path)
    configuration = http(tmp_path, "{" + listener + "}")
    notifying = NotifierChecks(ManualClock(), send=False)
    found = [one async for one in check_all(configuration, REGISTRY, Plant(), notifying)]
    await notifying.aclose()
    assert [True] * told == [one.ok for one in found if one.reason == "plain_http"]


@pytest.mark.parametrize(
    ("access", "told"),
    [
        ("hosts: [ci.example.com], access: {tokens: [0123456789abcdef]}", True),
        ("hosts: [ci.example.com], access: {tokens: [0123456789abcdef], proxy: {trusted: [127.0.0.1]}}", False),
        ("access: {tokens: [0123456789abcdef]}", False),
        ("hosts: [ci.example.com]", False),
    ],
)
async def test_a_check_warns_of_a_proxy_whose_clients_count_as_one(tmp_path, access, told):
    """Where people log in behind one that is not trusted; it is no failure."""
    configuration = http(tmp_path, "{listen: '127.0.0.1:8080', " + access + "}")
    notifying = NotifierChecks(ManualClock(), send=False)
    found = [one async for one in check_all(configuration, REGISTRY, Plant(), notifying)]
    await notifying.aclose()
    assert [True] * told == [one.ok for one in found if one.reason == "proxy_unknown"]


# -- certificates


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate for loopback and its key."""
    return make_certificate(tmp_path_factory.mktemp("pair"))


def context(base: Path, **settings: Any) -> Any:
    return server_context(TlsSettings(**settings), base, "http.tls")


@pytest.mark.parametrize(
    ("cert", "key", "more", "words"),
    [
        ("none.pem", "loopback.key", {}, "http.tls.cert: .*none.pem cannot be read: No such file"),
        ("loopback.pem", "none.key", {}, "http.tls.key: .*none.key cannot be read: No such file"),
        (".", "loopback.key", {}, "http.tls.cert: .* cannot be read: Is a directory"),
        ("loopback.key", "loopback.key", {}, "http.tls.cert: .*loopback.key holds no certificate in PEM form"),
        ("junk.pem", "loopback.key", {}, "http.tls.cert: .*junk.pem holds no certificate in PEM form"),
        ("loopback.pem", "junk.pem", {}, "http.tls.key: .*junk.pem cannot be used with .*loopback.pem"),
        ("loopback.pem", "other.key", {}, "http.tls.key: .*other.key is not the key of the certificate .*loopback.pem"),
        ("loopback.pem", "locked.key", {}, "http.tls.key: .*locked.key has a passphrase"),
        ("loopback.pem", "loopback.key", {"client_ca": "junk.pem"}, "http.tls.client_ca: .*junk.pem holds no cert"),
        ("loopback.pem", "loopback.key", {"client_ca": "none"}, "http.tls.client_ca: .*none cannot be read"),
    ],
)
def test_a_bad_pair_says_which_file_and_why(pair, cert, key, more, words):
    """Before anything listens."""
    base = pair[0].parent
    (base / "junk.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    if not (base / "other.key").exists():
        (base / "other").mkdir()
        make_certificate(base / "other")[1].rename(base / "other.key")
        lock = ["openssl", "pkcs8", "-topk8", "-in", pair[1], "-out", base / "locked.key", "-passout", "pass:x"]
        subprocess.run(lock, check=True, capture_output=True)
    with pytest.raises(ConfigError, match=words):
        context(base, cert=cert, key=key, **more)


def test_a_key_that_is_roots_alone_says_how_to_hand_it_over(pair, monkeypatch):
    """As programs that renew certificates leave it, the service's own user cannot read it."""
    content = {path: path.read_bytes() for path in pair}

    def read_as_service(path: Path) -> bytes:
        if path.suffix == ".key":
            raise PermissionError(EACCES, "Permission denied")
        return content[path]

    monkeypatch.setattr(Path, "read_bytes", read_as_service)
    with pytest.raises(ConfigError, match=r"http.tls.key: .*loopback.key cannot be read: .*LoadCredential= or by a gr"):
        context(pair[0].parent, cert="loopback.pem", key="loopback.key")


def test_commands_are_told_the_certificate_and_never_the_key(tmp_path, pair):
    """Both may stand in one file, as some tools write it."""
    certificate, key = pair
    (tmp_path / "both.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    configuration = http(tmp_path, "{tls: {cert: both.pem, key: both.pem}}")
    told = certificate_of(configuration.settings.http, configuration.base)
    assert certificate.read_text().strip() == told
    assert "" == certificate_of(http(tmp_path, "{}").settings.http, tmp_path)


def test_paths_are_relative_to_the_file_and_looked_at_when_it_is_read(tmp_path, pair):
    """A mistake is known before a start or a reload; one address has one certificate."""
    for file in pair:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    good = "{tls: {cert: loopback.pem, key: loopback.key}}"
    assert {"http"} == set(http(tmp_path, good).tls())
    assert "none.pem cannot be read" in wrong(tmp_path, "{tls: {cert: none.pem, key: loopback.key}}")[0]
    shared = "{listen: '127.0.0.1:8081', tls: {cert: loopback.pem, key: loopback.key}}"
    assert "webhooks.tls: one listener has one certificate" in wrong(tmp_path, shared)[0]
