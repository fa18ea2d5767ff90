"""Steps of a single build of API v1.1, from a captured one."""

import json
from pathlib import Path

from tests.unit.sources.circleci.test_normalize_tests import CTX, OWNER, a_job

from headgate.core.times import format_ms
from headgate.sources.circleci.normalize_steps import output_text, steps

FOLDER = Path(__file__).parents[3] / "data/circleci/api-v1.1"
SAMPLE = json.loads((FOLDER / "build-detail-with-steps.json").read_text(encoding="utf-8"))


def _steps(given):
    return list(steps(given, a_job(), OWNER, CTX))


def test_the_captured_build():
    """Names, numbers, times and exit codes of all five steps."""
    found = _steps(SAMPLE)
    told = [
        (
            step.observation.fields["index"],
            step.observation.fields["node"],
            step.observation.fields["name"],
            step.observation.fields["status"],
            format_ms(step.observation.fields["started_at"]),
            format_ms(step.observation.fields["stopped_at"]),
            step.observation.fields.get("exit_code"),
        )
        for step in found
    ]
    day = "2021-07-25T"
    assert told == [
        (0, 0, "Spin up environment", "success", f"{day}19:06:00.808Z", f"{day}19:06:03.723Z", None),
        (1, 0, "Preparing environment variables", "success", f"{day}19:06:03.891Z", f"{day}19:06:03.920Z", None),
        (2, 0, "Checkout code", "success", f"{day}19:06:03.933Z", f"{day}19:06:04.216Z", None),
        (3, 0, "Install packages", "success", f"{day}19:06:04.226Z", f"{day}19:06:09.506Z", 0),
        (4, 0, "Run tests", "success", f"{day}19:06:09.514Z", f"{day}19:06:10.015Z", 0),
    ]
    assert {step.observation.fields["type"] for step in found} == {"test"}
    assert {step.observation.fields["job_id"] for step in found} == {a_job().job_id}
    assert len({step.observation.key for step in found}) == 5
    assert not any(step.failed for step in found)


def test_a_build_of_the_time_before_steps():
    """It has none to tell of."""
    assert _steps(json.loads((FOLDER / "build-1.0-style.json").read_text(encoding="utf-8"))) == []


def test_a_signed_address_is_no_field():
    """It is handed over beside the observation, and no text of the step shows it."""
    step = _steps(SAMPLE)[0]
    assert "X-Amz-Signature=f94d" in step.output_url
    assert "amazonaws" not in repr(step)
    assert "amazonaws" not in repr(dict(step.observation.fields))


def _action(**fields):
    return {"name": "Run", "step": 103, "index": 1, "status": "failed", "exit_code": 2, "has_output": True} | fields


def test_each_machine_has_steps_of_its_own():
    """A step that ran on two machines is two; the failed one is known."""
    given = {"steps": [{"name": "Run", "actions": [_action(index=0, status="success", exit_code=0), _action()]}]}
    one, two = _steps(given)
    assert (one.observation.fields["node"], two.observation.fields["node"]) == (0, 1)
    assert (one.failed, two.failed) == (False, True)
    assert one.observation.key != two.observation.key
    assert two.observation.fields["exit_code"] == 2


def test_a_key_stays_when_other_steps_come_before():
    """CircleCI's own number tells steps apart."""
    first = {"name": "New", "actions": [_action(step=50)]}
    last = {"name": "Run", "actions": [_action()]}
    assert _steps({"steps": [last]})[0].observation.key == _steps({"steps": [first, last]})[1].observation.key


def test_flags_say_more_than_failed():
    """Time-outs and failures of the machine are not failures of the command."""
    for flag, word in (("timedout", "timedout"), ("infrastructure_fail", "infrastructure_fail")):
        step = _steps({"steps": [{"actions": [_action(**{flag: True}, exit_code=None)]}]})[0]
        assert (step.observation.fields["status"], step.failed) == (word, True)


def test_what_is_missing_is_absent():
    """Nulls, wrong types and blank texts are not known."""
    given = {"steps": [{"name": " ", "actions": [{"status": None, "end_time": "soon", "index": None}, 7]}, None]}
    (step,) = _steps(given)
    assert step.observation.fields == {"job_id": a_job().job_id, "index": 0, "node": 0}
    assert (step.failed, step.output_url) == (False, None)


def test_outputs_of_both_forms():
    """A list of messages, or text that is none."""
    body = json.dumps([{"message": "one\n", "type": "out"}, {"type": "err"}, {"message": "two\n"}]).encode()
    assert output_text(body) == "one\ntwo\n"
    assert output_text(b"plain \xff text") == "plain � text"
