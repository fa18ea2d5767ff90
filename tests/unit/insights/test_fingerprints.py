"""What failure texts have in common: over messages as tools write them, and over any text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.insights.fingerprints import RULES, fingerprint, normalize, telling_line

PYTHON = """Traceback (most recent call last):
  File "/home/circleci/project/tests/test_cart.py", line 42, in test_total
    assert cart.total() == 10
AssertionError: assert 11.5 == 10
"""
JAVA = """java.lang.NullPointerException: Cannot invoke "com.acme.User.name()" as "user" is null
\tat com.acme.UserTest.name(UserTest.java:33)
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""
MAKE = """collected 12 items
FAILED tests/test_a.py::test_b - AssertionError: expected 200, got 500
=========== 1 failed, 11 passed in 3.21s ===========
make: *** [Makefile:12: test] Error 1
Exited with code exit status 2
"""
MESSAGES = {
    "python": (PYTHON, False, "AssertionError: assert <n> == <n>"),
    "java": (JAVA, False, 'java.lang.NullPointerException: Cannot invoke "com.acme.User.name()" as "user" is null'),
    "output": (MAKE, True, "FAILED tests/test_a.py::test_b - AssertionError: expected <n>, got <n>"),
    "browser": ("Error: Timed out after 30000ms waiting for #login-7f3a2b1c", False,
                "Error: Timed out after <duration> waiting for #login-<hash>"),
    "spring": ('I/O error on GET request for "http://localhost:35721/api/users/17?x=1": Connection refused', False,
               'I/O error on GET request for "<url>": Connection refused'),
    "host": ("could not connect to 10.0.3.17:9200 after 3 tries", False, "could not connect to <host> after <n> tries"),
    "object": ("TypeError: <Conn object at 0x7f3b2c1d9e80> is not iterable", False,
               "TypeError: <Conn object at <address>> is not iterable"),
    "compiler": ("/root/project/src/main.c:17:5: error: use of undeclared identifier 'foo'", False,
                 "<path>/main.c:<n>:<n>: error: use of undeclared identifier 'foo'"),
    "windows": (r"C:\Users\ci\project\App.cs(12,5): error CS1002: ; expected", False,
                "<path>/App.cs(<n>): error CS1002: ; expected"),
    "node": ("npm ERR! code ELIFECYCLE\nnpm ERR! errno 1\nError: Cannot find module '/ci/node_modules/pad/index.js'",
             False, "Error: Cannot find module '<path>/index.js'"),
    "rust": ("thread 'tests::it_works' panicked at src/lib.rs:10:9:\n  left: 4", False,
             "thread 'tests::it_works' panicked at src/lib.rs:<n>:<n>:"),
    "log": ("2026-11-20T10:02:10.123Z ERROR [worker-3] job 4711 failed after 12.5s", False,
            "<time> ERROR [worker-<n>] job <n> failed after <duration>"),
    "id": ("no such user 123e4567-e89b-12d3-a456-426614174000", False, "no such user <id>"),
    "disk": ("write: No space left on device, 12.5 MB of 17 GiB", False,
             "write: No space left on device, <size> of <size>"),
    "colours": ("\x1b[31m\x1b[1mError:\x1b[0m boom 3 times", False, "Error: boom <n> times"),
    "parameters": ("expected test_case_12[size=10] to pass", False, "expected test_case_<n>[size=<n>] to pass"),
    "variable": ("error: cannot find module './a'\nexport API_TOKEN=***\n+ set X_ERROR=1\nmake: *** [a] Error 1", True,
                 "error: cannot find module './a'"),
    "killed": ("Killed", True, "Killed"),
    "blanks": ("  \n\t\n", False, ""),
    "nothing": ("", True, ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "last", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_what_differs_from_run_to_run_is_taken_out(text, last, expected):
    """And what says what went wrong stays."""
    assert expected == normalize(telling_line(text, last=last))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AssertionError: expected 200, got 500", "AssertionError: expected 201, got 404"),
        ("timeout after 1.5s on 2026-11-20", "timeout after 250ms on 2026-11-21"),
        ("commit 3f2a9c1e not found", "commit 0badc0ffee123 not found"),
        ("cannot open /tmp/a1/b.txt", "cannot open /var/run/c/b.txt"),
    ],
)
def test_equal_reasons_have_one_fingerprint(one, other):
    """Whatever their numbers, hashes, paths, times."""
    assert fingerprint(normalize(one)) == fingerprint(normalize(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AssertionError: expected 200, got 500", "ValueError: expected 200, got 500"),
        ("error TS2345: no", "error TS2322: no"),
        ("cannot open /tmp/a.txt", "cannot open /tmp/b.txt"),
        ("connection refused", "connection reset by peer"),
    ],
)
def test_other_reasons_have_another(one, other):
    """Kinds of errors, codes of compilers, names of files."""
    assert fingerprint(normalize(one)) != fingerprint(normalize(other))
    assert fingerprint("a", "b") != fingerprint("ab")


_PIECES = st.sampled_from(
    [
        "error ",
        "/a/b/",
        "12",
        "0x1f",
        "a1b2c3d",
        "1.5s",
        " MB",
        "10.0.0.1",
        ":",
        "<n>",
        "http://x ",
        "\n",
        "é",
        "2026-01-02",
    ]
)


@given(st.one_of(st.text(max_size=300), st.lists(_PIECES, max_size=40).map("".join)))
def test_any_text_has_one_short_answer(text):
    """Of one line, the same again, and empty for blanks alone."""
    for last in (False, True):
        line = telling_line(text, last=last)
        answer = normalize(line)
        assert normalize(line) == answer
        assert len(answer) <= 200
        assert "\n" not in answer
        assert bool(line) == bool(text.split()) or not line.strip()


def test_no_text_takes_long():
    """Patterns are bounded: what would make them try everything is answered at once."""
    for piece in ("a/", "1", "0x", "-", "1.", "ab1", "://", "a" * 50 + "/", " "):
        normalize(telling_line("error " + piece * 20_000))
        normalize("error " + piece * 500)


def test_rules_say_what_they_replace():
    """Each has a name, and what it puts in is not taken for something else."""
    assert len(RULES) == len({name for name, _, _ in RULES})
    assert all(re.fullmatch(r"<[a-z]+>/?| ", instead) for _, _, instead in RULES)


@pytest.mark.parametrize(
    ("text", "last", "expected"),
    [
        pytest.param("\n \n".join(["quiet"] * 399 + ["error: a"]), False, "error: a", id="within the first lines"),
        pytest.param("\n \n".join(["quiet"] * 400 + ["error: a"]), False, "quiet", id="after the first lines"),
        pytest.param("\n \n".join(["error: a"] + ["quiet"] * 399), True, "error: a", id="within the last lines"),
        pytest.param("\n \n".join(["error: a"] + ["quiet"] * 400), True, "quiet", id="before the last lines"),
        pytest.param(
            "quiet\n Traceback (most recent call last):\nerror: a\nerror: b",
            False,
            "error: b",
            id="a traceback is read from its end",
        ),
        pytest.param(
            "\n".join([*["error: a"] * 400, "Traceback (most recent call last):", "error: b"]),
            False,
            "error: a",
            id="a traceback after the first lines is none",
        ),
        pytest.param(
            "error: a\nof a Traceback (most recent call last):\nerror: b",
            False,
            "error: a",
            id="nor is a word of it",
        ),
    ],
)
def test_blank_lines_are_not_counted(text, last, expected):
    """Four hundred lines that say something are looked at, from the begin or from the end."""
    assert expected == telling_line(text, last=last)
