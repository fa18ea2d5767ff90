"""The webhook policy: CircleCI's published signature vectors, and everything a stranger may send."""

import pytest

from headgate.sources.circleci.webhook import CircleCIWebhookPolicy, signature

VECTORS = [
    (b"hello world", "secret", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
    (b"lalala", "another-secret", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
    (b"an-important-request-payload", "hunter123", "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa"),
    (b"foo", "secret", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"),
]
HELLO = VECTORS[0][2]


def _headers(given: str | None, content_type: str = "application/json") -> dict[bytes, bytes]:
    found = {b"content-type": content_type.encode()}
    if given is not None:
        found[b"circleci-signature"] = given.encode("latin-1")
    return found


@pytest.mark.parametrize(("body", "secret", "digest"), VECTORS, ids=[vector[0].decode() for vector in VECTORS])
def test_published_vectors_are_taken(body, secret, digest):
    """CircleCI's own four vectors pass, and `signature` writes the same header."""
    assert CircleCIWebhookPolicy([secret]).refuse(_headers(f"v1={digest}"), body) is None
    assert signature(secret, body) == f"v1={digest}"


@pytest.mark.parametrize("secrets", [["secret", "old"], ["old", "secret"]], ids=["new first", "new last"])
def test_any_of_several_secrets_is_enough(secrets):
    """While a secret is being replaced, deliveries signed with either are taken."""
    assert CircleCIWebhookPolicy(secrets).refuse(_headers(f"v1={HELLO}"), b"hello world") is None


@pytest.mark.parametrize(
    "given",
    [
        f" v1 = {HELLO} ",
        f"v2=00,v1={HELLO}",
        f"v1={HELLO}, v2=ff",
        f",,=,v1,nonsense,v1={HELLO}",
        f"v0=aa,v1=00,v1={HELLO}",
        f"\xff\xfe=\xff,v1={HELLO}",
    ],
    ids=["blanks", "newer first", "newer last", "malformed parts", "repeated", "not ASCII"],
)
def test_the_right_v1_part_is_found_among_others(given):
    """Blanks, unknown versions and broken parts beside a good v1 do no harm."""
    assert CircleCIWebhookPolicy(["secret"]).refuse(_headers(given), b"hello world") is None


@pytest.mark.parametrize(
    ("given", "body", "reason"),
    [
        (None, b"hello world", "signature_missing"),
        ("", b"hello world", "signature_missing"),
        ("nonsense", b"hello world", "signature_missing"),
        (f"v2={HELLO}", b"hello world", "signature_missing"),
        (f"v0={HELLO}", b"hello world", "signature_missing"),
        (f"v1={HELLO}", b"hello worle", "signature_mismatch"),
        (f"v1={HELLO}", b"", "signature_mismatch"),
        (f"v1={HELLO[:-1]}", b"hello world", "signature_mismatch"),
        (f"v1={HELLO.upper()}", b"hello world", "signature_mismatch"),
        ("v1=", b"hello world", "signature_mismatch"),
        ("v1=\xe9", b"hello world", "signature_mismatch"),
    ],
)
def test_anything_else_is_refused_with_401(given, body, reason):
    """No v1 part, a wrong one, or a body changed by one byte: 401, and the reason says which."""
    refusal = CircleCIWebhookPolicy(["secret"]).refuse(_headers(given), body)
    assert (401, reason) == (refusal.status, refusal.reason)


def _compared(monkeypatch, answer):
    """What is compared from now on, with every comparison answered so."""
    seen = []

    def compare(ours, theirs):
        seen.append((ours, theirs))
        return answer

    monkeypatch.setattr("headgate.sources.circleci.webhook.hmac.compare_digest", compare)
    return seen


def test_the_constant_time_comparison_alone_decides(monkeypatch):
    """Nothing looks at a signature before or instead of `compare_digest`: no earlier way out tells a prefix."""
    policy = CircleCIWebhookPolicy(["new", "secret"])
    right = signature("secret", b"hello world")[3:].encode()
    other = signature("new", b"hello world")[3:].encode()
    for given in (right, b"", b"0", right[:-1] + b"x", b"x" * 64):
        seen = _compared(monkeypatch, answer=False)
        assert policy.refuse(_headers(f"v1={given.decode()}"), b"hello world").reason == "signature_mismatch"
        assert seen == [(other, given), (right, given)]
    _compared(monkeypatch, answer=True)
    assert policy.refuse(_headers("v1=wrong"), b"hello world") is None


def test_only_the_highest_known_version_is_compared(monkeypatch):
    """A v0 that fits or a v2 that nobody knows is never compared with anything."""
    seen = _compared(monkeypatch, answer=True)
    policy = CircleCIWebhookPolicy(["secret"])
    assert policy.refuse(_headers(f"v0={HELLO},v2={HELLO}, v10={HELLO}"), b"hello world").reason == "signature_missing"
    assert seen == []


def test_a_header_of_many_signatures_costs_little(monkeypatch):
    """A stranger cannot make us compare for as long as headers may be."""
    seen = _compared(monkeypatch, answer=False)
    CircleCIWebhookPolicy(["secret"]).refuse(_headers(",".join(["v1=00"] * 10_000)), b"hello world")
    assert len(seen) == 16


def test_wrong_secret_is_refused_without_telling_it():
    """The answer never holds a secret or the digest that would have fitted."""
    refusal = CircleCIWebhookPolicy(["canary-secret"]).refuse(_headers(f"v1={HELLO}"), b"hello world")
    assert refusal.reason == "signature_mismatch"
    assert "canary" not in repr(refusal)
    assert signature("canary-secret", b"hello world")[3:] not in repr(refusal)


def test_without_secret_nothing_is_taken_unless_allowed():
    """A source without secret refuses; `allow_unsigned` lets everything in, but never waives a configured secret."""
    assert CircleCIWebhookPolicy([]).refuse(_headers(None), b"{}").reason == "unsigned_not_allowed"
    assert CircleCIWebhookPolicy([], allow_unsigned=True).refuse(_headers(None), b"{}") is None
    strict = CircleCIWebhookPolicy(["secret"], allow_unsigned=True)
    assert strict.refuse(_headers(None), b"{}").reason == "signature_missing"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", None),
        ("Application/JSON; charset=utf-8", None),
        ("text/plain", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
def test_content_type_must_be_json(content_type, status):
    """Only JSON is taken; parameters and case do not matter."""
    refusal = CircleCIWebhookPolicy(["secret"]).refuse(_headers(f"v1={HELLO}", content_type), b"hello world")
    assert status == (refusal.status if refusal else None)


def test_event_type_is_the_header_and_bounded():
    """The receiver files a delivery under what its header says; a missing one is empty, a long one is cut."""
    policy = CircleCIWebhookPolicy(["secret"])
    assert policy.event_type({b"circleci-event-type": b"job-completed"}) == "job-completed"
    assert policy.event_type({}) == ""
    assert len(policy.event_type({b"circleci-event-type": b"x" * 5000})) == 100
