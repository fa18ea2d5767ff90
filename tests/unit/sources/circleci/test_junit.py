"""JUnit files of every reporter are read as a stream; hostile and broken ones are refused whole."""

import tracemalloc

import pytest

from headgate.core.errors import Unparsable
from headgate.sources.circleci.junit import BATCH, junit_cases

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="4">
<testcase classname="tests.test_a" name="test_ok[1-x]" time="0.012" file="./tests/test_a.py"/>
<testcase classname="tests.test_a" name="test_bad" time="1.5"><failure message="assert 1 == 2">def test_bad():
E  assert</failure><system-out>noise</system-out></testcase>
<testcase classname="tests.test_a" name="test_skip" time="0"><skipped type="pytest.skip" message="later"/></testcase>
<testcase classname="tests.test_a" name="test_error" time="x"><error>broke &lt;here&gt;</error></testcase>
</testsuite></testsuites>"""


def _cases(body, node=None):
    return [case for batch in junit_cases(body, node) for case in batch]


def test_a_file_of_pytest():
    """Suite, class, file, name, parameters, time, result and message of each case."""
    ok, bad, skip, error = _cases(PYTEST, 1)
    assert (ok.suite, ok.class_name, ok.file, ok.name, ok.parameters) == (
        "pytest",
        "tests.test_a",
        "tests/test_a.py",
        "test_ok",
        "1-x",
    )
    assert (ok.result, ok.run_ms, ok.message, ok.node, ok.source) == ("pass", 12, "", 1, "junit")
    assert (bad.result, bad.run_ms, bad.message) == ("fail", 1500, "assert 1 == 2")
    assert (skip.result, skip.message) == ("skip", "later")
    assert (error.result, error.run_ms, error.message) == ("fail", None, "broke <here>")


def test_suites_within_suites():
    """A case belongs to the innermost suite that has a name; a suite's file is that of its cases."""
    body = b"""<testsuite name="outer"><testsuite name="inner" file="a.rb"><testcase name="one"/></testsuite>
    <testsuite><testcase name="two" file="b.rb"/></testsuite><testcase name="three"/></testsuite>"""
    assert [(case.suite, case.file, case.name) for case in _cases(body)] == [
        ("inner", "a.rb", "one"),
        ("outer", "b.rb", "two"),
        ("outer", "", "three"),
    ]


def test_a_failure_is_not_undone_by_what_follows():
    """A case that failed and says `skipped` too has failed."""
    body = b'<testsuite><testcase name="a"><failure message="f"/><skipped message="s"/></testcase></testsuite>'
    (case,) = _cases(body)
    assert (case.result, case.message) == ("fail", "f")


def test_other_encodings_are_read():
    """As the declaration says."""
    body = '<?xml version="1.0" encoding="iso-8859-1"?><testsuite name="ü"><testcase name="ä"/></testsuite>'
    (case,) = _cases(body.encode("latin-1"))
    assert (case.suite, case.name) == ("ü", "ä")


BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">
<!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>
<testsuite><testcase name="&lol3;"/></testsuite>"""
REACHING = b"""<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<testsuite><testcase name="a">&x;</testcase></testsuite>"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BOMB, "xml_declaration"),
        (REACHING, "xml_declaration"),
        (b'<!DOCTYPE testsuite SYSTEM "http://x/y.dtd"><testsuite/>', "xml_declaration"),
        (PYTEST[:-20], "xml_broken"),
        (b"", "xml_broken"),
        (b"\x00\xff", "xml_broken"),
        (b"<testsuite><testcase name='&undefined;'/></testsuite>", "xml_broken"),
        (b'<?xml version="1.0" encoding="klingon"?><testsuite/>', "xml_broken"),
        (b"<html><body/></html>", "not_junit"),
        (b"<testsuite>" * 200 + b"</testsuite>" * 200, "xml_deep"),
    ],
    ids=["bomb", "reaching", "dtd", "cut", "empty", "binary", "entity", "encoding", "html", "deep"],
)
def test_what_cannot_be_trusted_is_refused(body, reason):
    """With a reason, and before a single case of it was told."""
    batches = junit_cases(body, None)
    with pytest.raises(Unparsable) as caught:
        next(batches)
    assert caught.value.reason == reason


def test_a_large_file_is_read_in_batches():
    """A hundred thousand cases are never held at once: a few MB beside the file itself."""
    body = b"<testsuite name='s'>" + b"".join(b"<testcase name='t%d' time='0.1'/>" % n for n in range(100_000))
    body += b"</testsuite>"
    tracemalloc.start()
    try:
        sizes = [len(batch) for batch in junit_cases(body, None)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 100_000
    assert max(sizes) < 10 * BATCH
    assert peak < 8_000_000
