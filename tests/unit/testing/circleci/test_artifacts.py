"""Artifacts: the list, and JUnit files that say what the test results say."""

import xml.etree.ElementTree as ET

import httpx
import pytest

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.times import parse

OPTIONS = Options(now_ms=parse("2026-11-20T12:00:00Z"), seed=7, days=2, projects=1, runs_per_day=20.0)
BASE = "/api/v2/project/gh/acme/web"
CLIENT = httpx.Client(trust_env=False)


@pytest.fixture(scope="module", autouse=True)
def _client():
    """Close the connections after the last test."""
    with CLIENT:
        yield


@pytest.fixture(scope="module")
def running():
    """Run a twin of one project."""
    with Twin(OPTIONS) as made:
        yield made


@pytest.fixture
def twin(running):
    """Give the twin, and make it behave well again after the test."""
    yield running
    running.clear_faults()


def download(twin, url):
    """Get a file as the holder of the token."""
    return CLIENT.get(url, headers={"circle-token": twin.token})


def xml_of(answer):
    """Parse a file."""
    return ET.fromstring(answer.text)  # noqa: S314  # our own twin wrote it


def files(twin, number):
    """Give the artifacts of a build."""
    return twin.get(f"{BASE}/{number}/artifacts")["items"]


def with_files(twin):
    """Give the numbers of the builds that have artifacts."""
    newest = twin.get("/api/v1.1/project/gh/acme/web", limit=1)[0]["build_num"]
    return [number for number in range(1, newest + 1) if files(twin, number)]


def test_junit_files_hold_the_results_of_the_tests_route(twin):
    """All nodes together: every case once, with its class, file, time, result and message."""
    words, seen = {"failure": "failure", "skipped": "skipped"}, set()
    for number in with_files(twin)[:60]:
        cases = []
        for node, item in enumerate(files(twin, number)):
            assert (node, "test-results/junit.xml") == (item["node_index"], item["path"])
            answer = download(twin, item["url"])
            assert "application/xml" == answer.headers["content-type"]
            root = xml_of(answer)
            found = list(root.iter("testcase"))
            suite = root.find("testsuite")
            assert str(len(found)) == suite.get("tests")
            assert str(len(list(root.iter("failure")))) == suite.get("failures")
            cases += found
        results = twin.get(f"{BASE}/{number}/tests")["items"]
        told = {(one["classname"], one["name"], one["file"], str(one["run_time"]), one["result"]) for one in results}
        inner = {case: next(iter(case), None) for case in cases}
        said = {
            (*(case.get(key) for key in ("classname", "name", "file", "time")),
             "success" if child is None else words[child.tag])
            for case, child in inner.items()
        }  # fmt: skip
        assert (told, len(results)) == (said, len(cases))
        messages = {child.get("message") for child in inner.values() if child is not None and child.tag == "failure"}
        assert {one["message"] for one in results if one["result"] == "failure"} == messages
        seen |= {one[-1] for one in said}
    assert {"success", "failure", "skipped"} == seen


def test_artifacts_are_on_the_host_that_was_asked(twin):
    """With the token; without one they are refused, and what is not there is 404."""
    number = with_files(twin)[0]
    url = files(twin, number)[0]["url"]
    assert url.startswith(f"{twin.base_url}/output/job/")
    assert [200, 401, 401, 404] == [
        download(twin, url).status_code,
        CLIENT.get(url).status_code,
        CLIENT.get(url, headers={"circle-token": "expired-1"}).status_code,
        CLIENT.get(url, headers={"circle-token": "noaccess-1"}).status_code,
    ]
    nobody = f"{twin.base_url}/output/job/00000000-0000-4000-8000-000000000000/artifacts/0/test-results/junit.xml"
    for wrong in (url.replace("/artifacts/0/", "/artifacts/99/"), url.replace("junit.xml", "other.xml"), nobody):
        assert 404 == download(twin, wrong).status_code


def test_a_junit_file_can_be_broken(twin):
    """It does not parse; the next one does."""
    url = files(twin, with_files(twin)[0])[0]["url"]
    twin.put_faults({"junit_broken": {"count": 1}})
    with pytest.raises(ET.ParseError):
        xml_of(download(twin, url))
    assert "testsuites" == xml_of(download(twin, url)).tag


def test_a_junit_file_can_be_an_entity_bomb(twin):
    """Nine levels of ten, which a reader must not expand; the file itself is small."""
    url = files(twin, with_files(twin)[0])[0]["url"]
    plain = download(twin, url).text
    twin.put_faults({"junit_bomb": {"count": 1}})
    text = download(twin, url).text
    assert 9 == text.count("<!ENTITY lol") - 1
    assert 10 == text.count("&lol8;")
    assert "<failure>&lol9;</failure>" in text
    assert len(text) < len(plain) + 2000


def test_without_the_knob_there_are_none():
    """No list, no file."""
    with Twin(Options(now_ms=OPTIONS.now_ms, seed=7, days=1, projects=1, knobs=Knobs(artifacts=False))) as bare:
        assert [] == with_files(bare)
