"""Real and documented webhooks through a running daemon, out of two unlike sinks.

What must come out stands in expected/, written by hand.
"""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.e2e.harness import (
    SAMPLES,
    SECRET,
    Daemon,
    ancient_loki,
    headgate,
    loki_sink,
    made_up_job,
    read_jsonl,
    signature,
    source,
    wait_until,
    write_config,
)

from headgate.testing.sinks import FakeVendor

EXPECTED = Path(__file__).with_name("expected")
FILES = sorted(path.stem for path in SAMPLES.glob("*.json"))
TELLING = [name for name in FILES if name != "real-ping"]
# The two documentation samples call one workflow by two names, so they cannot both be true of one CircleCI.
APART = "docs-github-oauth-job-completed"
# Published by CircleCI: outbound webhooks, "validate a webhook"; body, secret, signature.
VECTORS = [
    ("hello world", "secret", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
    ("lalala", "another-secret", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
    ("an-important-request-payload", "hunter123", "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa"),
    ("foo", "secret", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"),
]
# Part of every record's identity: changing it would give each fact a second one.
NAMESPACE = uuid.UUID("6f1d9b0e-6f0a-5c39-9a2f-3f4a7a1f7d51")
OWN_ID = {"workflow": "cicd.pipeline.run.id", "job": "cicd.pipeline.task.run.id"}


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXPECTED / f"{name}.json").read_text())
    return found


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that the files in expected/ have."""
    return {key: value for key, value in record.items() if key not in {"id", "schema", "observed_at"}}


def start(folder: Path, loki_url: str, **more: Any) -> Daemon:
    """A daemon that takes webhooks alone and sends to a file and to Loki."""
    config = write_config(
        folder,
        {"file": {"type": "jsonl", "path": str(folder / "out.jsonl")}, "loki": loki_sink(loki_url)},
        {"circleci": source(**more)},
    )
    daemon = Daemon(config)
    daemon.start()
    return daemon


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_jsonl(folder / "out.jsonl")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """All samples sent: the daemon, the answers, what the file and Loki hold by provider id."""
    with ExitStack() as stack:
        folders = [tmp_path_factory.mktemp("most"), tmp_path_factory.mktemp("apart")]
        vendors = [stack.enter_context(FakeVendor("loki", **ancient_loki())) for _ in folders]
        secrets = [SECRET, *(secret for _, secret, _ in VECTORS)]
        most, apart = (
            stack.enter_context(start(folder, fake.url, webhook={"secrets": secrets}))
            for folder, fake in zip(folders, vendors, strict=True)
        )
        answers = {name: (apart if name == APART else most).deliver(sample(name)) for name in FILES}
        most.wait_settled()
        apart.wait_settled()
        wait_until(lambda: len(records(folders[0])) + len(records(folders[1])) == len(TELLING), "all records")
        files = {record["attributes"][OWN_ID[record["kind"]]]: record for each in folders for record in records(each)}
        lines = [json.loads(row["native"]["line"]) for fake in vendors for row in fake.stored()]
        yield {
            "daemon": most,
            "folder": folders[0],
            "answers": answers,
            "file": files,
            "loki": {record["attributes"][OWN_ID[record["kind"]]]: record for record in lines},
            "loki_rows": [row for fake in vendors for row in fake.stored()],
        }


def provider_id(wanted: dict[str, Any]) -> str:
    own: str = wanted["attributes"][OWN_ID[wanted["kind"]]]
    return own


@pytest.mark.parametrize("name", FILES)
def test_a_signed_sample_is_taken(served, name):
    """CircleCI's own deliveries are answered 200."""
    assert served["answers"][name].status_code == 200


@pytest.mark.parametrize("name", TELLING)
def test_a_sample_leaves_the_file_as_expected(served, name):
    """The record of a webhook has exactly the values that a person reads out of the webhook."""
    wanted = expected(name)
    assert shown(served["file"][provider_id(wanted)]) == wanted


@pytest.mark.parametrize("name", TELLING)
def test_a_sample_leaves_for_loki_as_expected(served, name):
    """Loki holds the same record as the line, at the time of its end, with its id beside it."""
    wanted = expected(name)
    record = served["loki"][provider_id(wanted)]
    assert shown(record) == wanted
    row = next(row for row in served["loki_rows"] if row["record_id"] == record["id"])
    assert (row["native"]["stream"] | row["native"]["metadata"])["project"] == wanted["project"]
    assert row["native"]["metadata"]["record_id"] == record["id"]
    at_ms = round(datetime.fromisoformat(wanted["occurred_at"]).timestamp() * 1000)
    assert row["native"]["time_ns"] == f"{at_ms}000000"


@pytest.mark.parametrize("name", TELLING)
def test_an_id_is_a_function_of_the_fact(served, name):
    """The id is the UUIDv5 over kind, host and provider id, the same in both sinks."""
    wanted = expected(name)
    own = provider_id(wanted)
    should = str(uuid.uuid5(NAMESPACE, f"{wanted['kind']}\ncircleci.com\n{own}"))
    assert (served["file"][own]["id"], served["loki"][own]["id"]) == (should, should)


def test_a_ping_leaves_no_record(served):
    """As many records as samples that tell something; a ping tells nothing."""
    assert len(served["file"]) == len(served["loki"]) == len(TELLING) == 10


@pytest.mark.parametrize(("body", "secret", "hexadecimal"), VECTORS)
def test_published_signatures_are_accepted_and_unparsable_bodies_kept(served, body, secret, hexadecimal):
    """A body that carries a published signature is CircleCI's: 200, kept as dead with the reason."""
    daemon = served["daemon"]
    before = daemon.status()["inbox"]["dead"]
    answer = daemon.deliver(body.encode(), headers={"circleci-signature": f"v1={hexadecimal}"}, secret=None)
    assert answer.status_code == 200, secret
    wait_until(lambda: daemon.status()["inbox"]["dead"] == before + 1, "the delivery among the dead")
    kept = [row for row in daemon.get("/api/v1/deaddeliveries").json() if row["body"] == body]
    assert [row["reason"].partition(":")[0] for row in kept] == ["not_json"]


def test_dead_deliveries_show_in_status_and_metrics(served):
    """What could not be parsed is counted where people look."""
    daemon = served["daemon"]
    before = daemon.status()["inbox"]["dead"]
    assert daemon.deliver(b'["no", "object"]').status_code == 200
    wait_until(lambda: daemon.status()["inbox"]["dead"] == before + 1, "the delivery among the dead")
    printed = json.loads(headgate("status", "--json", "-c", str(daemon.config)).stdout)
    assert printed["inbox"]["dead"] == before + 1
    assert daemon.metric("headgate_inbox_dead_total", source="circleci", reason="not_an_object") >= 1


REFUSED = {
    "wrong signature": ({"headers": {"circleci-signature": "v1=" + "0" * 64}}, 401),
    "unknown version": ({"headers": {"circleci-signature": f"v9={VECTORS[0][2]}"}, "body": b"hello world"}, 401),
    "signature of another body": ({"headers": {"circleci-signature": f"v1={VECTORS[0][2]}"}}, 401),
    "no signature": ({"secret": None}, 401),
    "too large": ({"body": b"[" + b" " * 1_100_000 + b"]"}, 413),
    "no JSON type": ({"headers": {"content-type": "text/plain"}}, 415),
    "a form": ({"headers": {"content-type": "application/x-www-form-urlencoded"}}, 415),
    "compressed": ({"headers": {"content-encoding": "gzip"}}, 415),
    "nothing in it": ({"body": b""}, 400),
    "unknown source": ({"path": "/webhooks/circleci/elsewhere"}, 404),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_deliveries_are_refused_with_a_reason(served, case):
    """Nothing of a refused delivery is kept; the answer says why in JSON; the metrics count it."""
    daemon = served["daemon"]
    how, status = dict(REFUSED[case][0]), REFUSED[case][1]
    before = (daemon.overview()["status"]["inbox"], read_jsonl(served["folder"] / "out.jsonl"))
    answer = daemon.deliver(how.pop("body", sample("real-github-oauth-job-completed")), **how)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert (daemon.overview()["status"]["inbox"], read_jsonl(served["folder"] / "out.jsonl")) == before
    wait_until(lambda: daemon.metric("headgate_webhook_requests_total", status=str(status)) >= 1, "the count", 5)


def test_a_body_of_unknown_length_is_cut_off_too(served):
    """A chunked body is refused when it grows beyond the limit, without waiting for its end."""
    place = urlsplit(served["daemon"].webhooks)
    with socket.create_connection((place.hostname, place.port), timeout=10) as link:
        link.sendall(
            b"POST /webhooks/circleci HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        part = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
        for _ in range(17):
            link.sendall(part)
        assert link.recv(4096).startswith(b"HTTP/1.1 413")


def test_what_is_not_http_is_answered_400(served):
    """Broken HTTP is the only thing called malformed; it gets a JSON reason and is counted."""
    daemon = served["daemon"]
    place = urlsplit(daemon.webhooks)
    with socket.create_connection((place.hostname, place.port), timeout=10) as link:
        link.sendall(b"POST /webhooks/circleci HTTP/1.1\r\nhost: x\r\nthis is no header\r\n\r\n")
        answer = link.recv(4096)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]
    wait_until(lambda: daemon.metric("headgate_webhook_requests_total", status="400") >= 1, "the count", 5)


def test_an_unknown_type_is_accepted_and_counted(served):
    """A type of the future is neither refused nor dead, and makes no record."""
    daemon = served["daemon"]
    before = daemon.status()["inbox"]["dead"], len(records(served["folder"]))
    told = json.loads(sample("real-github-oauth-job-completed")) | {"type": "deployment-completed", "id": "x"}
    assert daemon.deliver(json.dumps(told).encode()).status_code == 200
    wait_until(
        lambda: daemon.metric("headgate_unknown_words_total", source="circleci") >= 1, "the unknown word counted"
    )
    daemon.wait_settled()
    assert (daemon.status()["inbox"]["dead"], len(records(served["folder"]))) == before


def test_an_unknown_status_is_kept_as_it_is(served):
    """A status of the future leaves as CircleCI's word, and as `unknown` in ours."""
    told = json.loads(sample("real-github-oauth-job-completed-rerun"))
    told["job"] |= {"id": "11111111-2222-4333-8444-555555555555", "status": "vaporised"}
    assert served["daemon"].deliver(json.dumps(told).encode()).status_code == 200

    def arrived() -> list[dict[str, Any]]:
        return [r for r in records(served["folder"]) if r["attributes"].get(OWN_ID["job"]) == told["job"]["id"]]

    record = wait_until(arrived, "the record")[0]
    assert (record["attributes"]["circleci.status"], record["attributes"]["headgate.status"]) == (
        "vaporised",
        "unknown",
    )


def test_a_delivery_repeated_across_a_restart_is_one_record(tmp_path, loki):
    """Twice at once, and again after a restart: one record, no amendment, in either sink."""
    name = "real-github-oauth-job-completed"
    with start(tmp_path, loki.url) as daemon:
        assert [daemon.deliver(sample(name)).status_code for _ in range(2)] == [200, 200]
        daemon.wait_settled()
        wait_until(lambda: records(tmp_path), "the record")
        assert daemon.stop() == 0
        daemon.start()
        assert daemon.deliver(sample(name)).status_code == 200
        marker = "real-gitlab-job-completed"
        assert daemon.deliver(sample(marker)).status_code == 200
        wait_until(
            lambda: provider_id(expected(marker)) in {r["attributes"].get(OWN_ID["job"]) for r in records(tmp_path)},
            "the marker",
        )
        daemon.wait_settled()
    assert [shown(record) for record in records(tmp_path)] == [expected(name), expected(marker)]
    assert loki.record_ids() == [record["id"] for record in records(tmp_path)]


@pytest.mark.parametrize("order", [("job", "workflow"), ("workflow", "job")], ids="-then-".join)
def test_job_and_workflow_in_any_order_give_the_same_records(tmp_path, loki, order):
    """Which of the two webhooks comes first changes nothing in what leaves."""
    names = [f"real-github-oauth-{kind}-completed" for kind in order]
    with start(tmp_path, loki.url) as daemon:
        for name in names:
            assert daemon.deliver(sample(name)).status_code == 200
            daemon.wait_settled()
        wait_until(lambda: len(records(tmp_path)) >= 2, "both records")
    assert [shown(record) for record in records(tmp_path)] == [expected(name) for name in names]
    assert sorted(loki.record_ids()) == sorted(record["id"] for record in records(tmp_path))


def test_a_burst_is_answered_within_a_second(tmp_path: Path) -> None:
    """99 of 100 answers of a burst over 32 connections, each after its flush, take less than a second."""
    with Daemon(write_config(tmp_path, {})) as daemon:

        async def burst() -> list[int]:
            limits = httpx.Limits(max_connections=32)
            async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=30) as client:
                return [one.status_code for one in await asyncio.gather(*[_send(client, n) for n in range(1_000)])]

        async def _send(client: httpx.AsyncClient, number: int) -> httpx.Response:
            body = made_up_job(number)
            headers = {"content-type": "application/json", "circleci-signature": signature(SECRET, body)}
            return await client.post(f"{daemon.webhooks}/webhooks/circleci", content=body, headers=headers)

        assert asyncio.run(burst()) == [200] * 1_000
        assert daemon.metric("headgate_webhook_answer_seconds_count") == 1_000
        assert daemon.metric("headgate_webhook_answer_seconds_bucket", le="1.0") >= 990
