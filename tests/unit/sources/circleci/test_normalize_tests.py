"""Results become observations; the test itself is the same thing in every job, rerun and machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.details import EndedJob
from headgate.core.merge import ProjectRef
from headgate.sources.circleci.normalize import Context
from headgate.sources.circleci.normalize_tests import Tally, case_of_api, run_ms, split_parameters

OWNER = ProjectRef("circleci.com", "gh/acme/web", "gh/acme", "p1")
CTX = Context("circleci.com", 2_000)
ITEM = {
    "message": "AssertionError: expected 200, got 500",
    "source": "pytest",
    "run_time": 1.2345,
    "file": "/home/circleci/project/tests/test_login.py",
    "result": "failure",
    "name": "test_login[chrome-1]",
    "classname": "tests.test_login",
}


def a_job(job_id="49b34cdd-748a-48ae-b989-c879daa046bc", name="test", **fields):
    """A job that ran."""
    return EndedJob(
        project_slug="gh/acme/web",
        job_id=job_id,
        number=fields.get("number", 8),
        name=name,
        status=fields.get("status", "success"),
        ref_name=fields.get("ref_name", "main"),
        revision="35edfe7",
        workflow_id="0ae884c6-d352-4f4d-9591-92902d6c78fe",
        started_ms=fields.get("started_ms", 500),
        stopped_ms=fields.get("stopped_ms", 1_000),
        url="https://app.circleci.com/x/jobs/8",
    )


def _tally(job=None, redact=str):
    return Tally(job or a_job(), OWNER, redact)


def test_a_result_is_read_whole():
    """Every value of an item, the parameters apart from the name, times in milliseconds."""
    found = _tally().result(case_of_api(ITEM), CTX, "v2")
    fields = dict(found.fields)
    assert len(fields.pop("test_id")) == 36
    assert fields == {
        "job_id": "49b34cdd-748a-48ae-b989-c879daa046bc",
        "class_name": "tests.test_login",
        "name": "test_login",
        "parameters": "chrome-1",
        "file": "tests/test_login.py",
        "source": "pytest",
        "result": "fail",
        "run_ms": 1234,
        "message": "AssertionError: expected 200, got 500",
        "stopped_at": 1_000,
    }
    assert (found.kind, found.source, found.terminal, found.observed_ms) == ("test_result", "v2", True, 2_000)


@pytest.mark.parametrize(
    ("whole", "name", "parameters"),
    [
        ("test_x[a-1]", "test_x", "a-1"),
        ("test_x[a[0]-b]", "test_x", "a[0]-b"),
        ("TestLogin.test_x[é ü]", "TestLogin.test_x", "é ü"),
        ("name(int)[1]", "name(int)", "1"),
        ("name(String, int)[2]", "name(String, int)", "2"),
        ("name(int[])[3]", "name(int[])", "3"),
        ("returns [1]", "returns [1]", ""),
        ("[1] of a dynamic test", "[1] of a dynamic test", ""),
        ("test_x[]", "test_x[]", ""),
        ("test_x", "test_x", ""),
    ],
)
def test_parameters_are_split_off(whole, name, parameters):
    """As pytest and JUnit 5 write them; a sentence with brackets is a name."""
    assert split_parameters(whole) == (name, parameters)


@given(whole=st.text(st.sampled_from("ab_( )[]1,.-"), max_size=16))
def test_nothing_of_a_name_is_lost(whole):
    """Name and parameters put together are the name as it was."""
    name, parameters = split_parameters(whole)
    assert (f"{name}[{parameters}]" if parameters else name) == whole


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1.5, 1500),
        ("1.5", 1500),
        (" 1,234.5 ", 1_234_500),
        (0, 0),
        ("", None),
        ("fast", None),
        (-1, None),
        (float("nan"), None),
        ("inf", None),
        (True, None),
        (None, None),
        (1e300, None),
    ],
)
def test_run_times_of_every_kind(seconds, expected):
    """Numbers and text; what is no duration is not known."""
    assert run_ms(seconds) == expected


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("success", "pass"),
        ("failure", "fail"),
        ("error", "fail"),
        ("skipped", "skip"),
        ("Flaked", "flaked"),
        (7, "unknown"),
    ],
)
def test_result_words(theirs, ours):
    """A word that nobody foresaw is kept."""
    assert case_of_api({**ITEM, "result": theirs}).result == ours


def test_an_item_without_name_tells_nothing():
    """There is no test to speak of."""
    assert case_of_api({**ITEM, "name": " "}) is None


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=10).map(
    lambda word: word.strip() or "x"
)


@given(name=_WORDS, file=_WORDS, class_name=_WORDS)
def test_a_test_is_the_same_in_every_job(name, file, class_name):
    """Whatever job, rerun, renamed job or machine ran it, with whatever result; only the result's key differs."""
    item = {"name": name, "file": file, "classname": class_name, "result": "success", "source": "a", "run_time": 1}
    other = {**item, "result": "failure", "run_time": "2", "message": "no", "source": "b"}
    one = _tally(a_job()).result(case_of_api(item), CTX, "v2")
    two = _tally(a_job("0ae884c6-d352-4f4d-9591-92902d6c78fe", "test-renamed")).result(case_of_api(other), CTX, "v2")
    assert one.fields["test_id"] == two.fields["test_id"]
    assert one.key != two.key


@given(names=st.lists(st.sampled_from(["a", "b", "a[1]", "a[2]"]), max_size=12))
def test_equal_tests_of_a_job_are_numbered(names):
    """Each result has a key of its own, the same when the job is read again."""
    items = [{**ITEM, "name": name} for name in names]
    one, two = _tally(), _tally()
    keys = [one.result(case_of_api(item), CTX, "v2").key for item in items]
    assert keys == [two.result(case_of_api(item), Context("circleci.com", 9), "v2").key for item in items]
    assert len(set(keys)) == len(names)
    ids = {one.result(case_of_api({**ITEM, "name": name}), CTX, "v2").fields["test_id"] for name in names}
    assert len(ids) == len(set(names))


def test_results_are_counted_on_the_job():
    """How many there were, failed and skipped."""
    tally = _tally()
    for result in ("success", "failure", "error", "skipped", "odd"):
        tally.result(case_of_api({**ITEM, "result": result}), CTX, "v2")
    found = tally.counts(CTX, "v2")
    assert (found.kind, found.key, found.terminal) == ("job", "49b34cdd-748a-48ae-b989-c879daa046bc", False)
    assert found.fields == {"tests": 5, "tests_failed": 2, "tests_skipped": 1}


def test_messages_are_redacted_and_cut():
    """A failure text may hold what the test printed."""
    found = _tally(redact=lambda text: text.replace("secret", "***")).result(
        case_of_api({**ITEM, "message": "secret " + "x" * 9_000}), CTX, "v2"
    )
    assert found.fields["message"] == "*** " + "x" * 1_996
