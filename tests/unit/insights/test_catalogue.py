"""The catalogue: complete definitions, names, variants."""

import pytest

from headgate.insights.catalogue import CATALOGUE
from headgate.insights.dimensions import DIMENSIONS
from headgate.insights.metric import FromTally
from headgate.insights.sums import nearest_rank

NAMES = sorted(CATALOGUE.names)


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_is_complete(name):
    """Everything that people must know of a metric is there, in sentences, and its dimensions exist."""
    metric = CATALOGUE.names[name]
    for text in (metric.doc, metric.counts):
        assert not text[0].islower()
        assert text.endswith(".")
    assert metric.formula
    assert metric.inputs
    assert set(metric.dimensions) <= set(DIMENSIONS)
    assert {"org", "project", "team"} <= set(metric.dimensions)
    assert metric.circleci == "" or metric.circleci.endswith(".")
    assert (metric.unit == "s") == (metric.format == "duration")
    assert not metric.proportion or metric.format == "percentage"
    assert name.startswith("dora_") == metric.proxy
    assert not isinstance(metric.compute, FromTally) or (metric.compute.kind == "job") == (metric.over == "jobs")


@pytest.mark.parametrize(
    ("over", "name"),
    [
        (None, "duration_p95"),
        ("workflow", "duration_p95"),
        ("workflow_without_hold", "duration_p95_without_hold"),
        ("jobs", "duration_p95_of_jobs"),
    ],
)
def test_what_a_metric_is_over_can_be_chosen(over, name):
    """Without a choice it is workflows, on-hold time included."""
    assert CATALOGUE.resolve("duration_p95", over) is CATALOGUE.names[name]


@pytest.mark.parametrize(
    ("name", "over", "text"),
    [
        ("succes_rate", None, "unknown metric 'succes_rate'; did you mean `success_rate`?"),
        ("zzz", None, "unknown metric 'zzz'; known are approval_wait"),
        ("queue_p90", "workflow", "queue_p90 is not over workflow; it is over jobs"),
        ("runs", "workflow_without_hold", "it is over workflow, jobs"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(name, over, text):
    """The error says what is possible."""
    with pytest.raises(ValueError, match=r"metric|over") as caught:
        CATALOGUE.resolve(name, over)
    assert text in str(caught.value)


def test_nearest_rank_is_a_value_that_occurred():
    """The median of an even number of values is the lower middle one."""
    assert [nearest_rank([4, 1, 3, 2], q) for q in (0.0, 0.5, 0.95, 1.0)] == [1, 2, 4, 4]
