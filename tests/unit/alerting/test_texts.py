"""What people read of an alert that has no value, and of one whose text cannot be made."""

import dataclasses
from importlib import resources

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.alerting.world import START, rules

from headgate.alerting import summaries
from headgate.alerting.change import Telling, build_change
from headgate.alerting.engine import rule_subjects
from headgate.alerting.evaluate import GroupResult, RuleResult
from headgate.alerting.load import default_rules_text
from headgate.alerting.routes import build_routes
from headgate.alerting.templates import NO_VALUE, render_annotations
from headgate.alerting.view import Found, Outcome
from headgate.core.alertdata import AlertState, Step, Told, fingerprint, new_alert
from headgate.insights.owners import Owners

DEMO = (resources.files("headgate.app") / "demo_rules.yaml").read_text("utf-8")
SHIPPED = [*rules(default_rules_text()), *rules(DEMO)]
ENDS = (": nothing is stuck any more", "does not take long any more", ": runs again", "no longer fails by itself")
NUMBERS = {"value": None, "baseline": None, "n": None}


def ended(rule, reason="no_data"):
    """The message about an alert that is over because nothing ran, and the summary that sinks get."""
    labels = {name: f"a-{name}" for name in rule.by}
    known = {"receivers": {"ops": Told(1, START)}, "fired_ms": START}
    before = replace(new_alert(START), state=AlertState.FIRING, value=3.0, level=1, told=1, **known)
    over = replace(new_alert(START), state=AlertState.RESOLVED, ended_ms=START, **known)
    after = Step(over, (), "resolved", reason)
    group = GroupResult(fingerprint(rule.name, labels), labels, before, after, Found(Outcome.NO_DATA))
    subjects = list(rule_subjects(RuleResult(rule, (group,)), {}, Owners()))
    change = build_change(subjects, Telling(build_routes([], ["ops"]), START))
    ((record,), (entry,)) = change.records, change.outbox
    return msgspec.json.decode(entry.payload)["annotations"], record.attributes["headgate.alert.summary"]


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.name)
@pytest.mark.parametrize("own", [True, False])
def test_every_shipped_rule_can_be_told_without_a_value(rule, own):
    """In words of the rule and in those of its kind: no braces, no None, nothing that failed."""
    annotations, summary = ended(rule if own else dataclasses.replace(rule, annotations={}))
    assert annotations["summary"] == summary
    assert NO_VALUE in summary or summary.endswith(ENDS)
    assert "template_error" not in annotations
    said = "".join(annotations.values())
    assert not any(word in said for word in ("{", "}", "None"))


def test_names_that_tell_of_a_breach_are_none_at_its_end():
    """Nothing fails, and a label of the same name stays what it is."""
    (stuck,) = [rule for rule in SHIPPED if rule.name == "RunStuck"]
    (flaky,) = [rule for rule in SHIPPED if rule.name == "FlakyTest"]
    (silent,) = [rule for rule in SHIPPED if rule.name == "ProjectSilent"]
    own = {"summary": "{{ status }} {{ burn }} {{ flakes }} {{ rate | pct }} {{ jobs | join }} {{ test }} {{ used }}"}
    none = f"{NO_VALUE} {NO_VALUE} {NO_VALUE} {NO_VALUE}  "
    for rule, test in ((stuck, NO_VALUE), (flaky, "a-test")):
        annotations, summary = ended(dataclasses.replace(rule, annotations=own))
        assert (summary, "template_error" in annotations) == (f"{none}{test} {NO_VALUE}", False)
    for rule in (silent, dataclasses.replace(silent, annotations={})):
        assert ended(rule, "gone")[1] == "a-project: not collected any more"


@pytest.mark.parametrize("kind", ["absence", "compare", "detect", "flaky", "forecast", "slo", "stuck", "threshold"])
def test_every_kind_has_words_for_no_value(kind):
    """Its own sentence needs no number."""
    names = {"metric": "m", "shown": NO_VALUE, "usual": NO_VALUE, "state": "resolved", "reason": "", **NUMBERS}
    found = render_annotations({"summary": summaries._SENTENCES[kind]}, names, "plain")
    assert list(found) == ["summary"]
    assert "None" not in found["summary"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ value | pct }}",
        "{{ value | pct(2) }}",
        "{{ value | duration }}",
        "{{ value | round(1) }}",
        "{{ value | abs | round | pct }}",
        "{{ value }}",
    ],
)
def test_numbers_that_are_not_known(text):
    """Each filter that takes a number bears none, as does a number without a filter."""
    assert render_annotations({"summary": text}, NUMBERS, "plain") == {"summary": NO_VALUE}


def test_filters_of_numbers_that_are_known():
    """They are what they were."""
    texts = {"summary": "{{ value | abs | round(1) }} {{ value | abs | pct }} {{ 725 | duration }}"}
    assert render_annotations(texts, {"value": -0.25}, "plain") == {"summary": "0.2 25% 12 min 5 s"}


def test_a_text_that_fails_is_never_sent_as_written():
    """A plain summary takes its place; other such texts are left out, and what can be made is there."""
    (rule, *_) = SHIPPED
    broken = {"summary": "{{ value * 2 }} of {{ n }}", "more": "{{ nothing.there }}", "team": "{{ project }}"}
    annotations, summary = ended(dataclasses.replace(rule, annotations=broken))
    plain = "DefaultBranchFailing: project a-project, severity warning, workflow a-workflow"
    assert summary == plain
    assert {**annotations, "template_error": ""} == {"summary": plain, "team": "a-project", "template_error": ""}
    assert "summary: " in annotations["template_error"]
    assert "more: " in annotations["template_error"]
