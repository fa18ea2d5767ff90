"""What a record measures."""

from __future__ import annotations

import msgspec

from headgate.core.record import KINDS, Kind, Record, decode_record
from headgate.sinks._measures import MEASURES, Point, points
from headgate.testing.sink_harness import NOW_MS, make_entry


def of(kind: Kind, **attributes: str | float | bool) -> Record:
    """A record of a kind without a branch; attribute names have `__` for each dot."""
    record = decode_record(make_entry(1, kind=kind, **attributes).body)
    kept = {name: value for name, value in record.attributes.items() if name != "vcs.ref.head.name"}
    return msgspec.structs.replace(record, attributes=kept)


def by_name(record: Record) -> dict[str, Point]:
    """The points of a record by the name of their metric."""
    return {point.measure.name: point for point in points(record)}


class TestPoints:
    """Values and labels, kind by kind."""

    def test_a_job_measures_execution_and_wait(self) -> None:
        """A job gives its execution and its wait, in seconds, with result and machine class."""
        found = by_name(of("job", circleci__queue_ms=4200, circleci__resource_class="large"))
        assert {name: point.value for name, point in found.items()} == {
            "cicd.pipeline.task.run.duration": 130.0,
            "cicd.pipeline.task.run.queue.duration": 4.2,
        }
        assert found["cicd.pipeline.task.run.duration"].labels == (
            ("cicd.pipeline.name", "build"),
            ("cicd.pipeline.task.name", "unit"),
            ("cicd.pipeline.task.run.result", "failure"),
            ("circleci.project", "gh/acme/web"),
            ("circleci.resource_class", "large"),
            ("error.type", "failure"),
        )
        assert found["cicd.pipeline.task.run.duration"].at_ms == NOW_MS

    def test_a_failed_workflow_counts_as_an_error_and_a_good_one_does_not(self) -> None:
        """Errors are counted by kind; a success has no error type."""
        assert by_name(of("workflow"))["cicd.pipeline.run.errors"].value == 1
        good = by_name(of("workflow", headgate__status="success"))
        assert "cicd.pipeline.run.errors" not in good
        assert "error.type" not in dict(good["cicd.pipeline.run.duration"].labels)

    def test_credits_are_counted_by_kind_and_nothing_for_none(self) -> None:
        """One point for each kind of credits that is not nothing; the total is no kind."""
        usage = of("usage", circleci__credits__compute=120, circleci__credits__dlc=0, circleci__credits__total=120)
        found = [point for point in points(usage) if point.measure.name == "circleci.credits.used"]
        assert [(point.value, dict(point.labels)["circleci.credits.kind"]) for point in found] == [(120, "compute")]

    def test_utilization_is_a_ratio(self) -> None:
        """Percent become a ratio."""
        found = by_name(of("usage", circleci__job__cpu__median_pct=37.5))
        assert found["circleci.job.cpu.utilization"].value == 0.375

    def test_insights_of_a_window_are_state_and_series_are_not(self) -> None:
        """A reporting window's figures are gauges; series of past days are not."""
        figures = {"circleci__insight__success_rate": 0.9, "circleci__insight__delay_ms": 5}
        (point,) = points(of("insight", circleci__insight__window="last-7-days", **figures))
        assert (point.measure.name, point.value) == ("circleci.insight.success_rate", 0.9)
        assert dict(point.labels)["circleci.insight.window"] == "last-7-days"
        assert not points(of("insight", circleci__insight__window="day", **figures))

    def test_tags_are_labels_and_never_replace_one(self) -> None:
        """Tags become labels; one that is named as a label of the metric is left out."""
        record = of("deployment", tag__team="web", **{"tag__deployment.status": "forged"}, deployment__status="failed")
        assert dict(points(record)[0].labels) == {
            "circleci.project": "gh/acme/web",
            "deployment.status": "failed",
            "team": "web",
        }


class TestBounds:
    """The number of series stays bounded."""

    def test_no_point_has_a_label_that_its_metric_does_not_name(self) -> None:
        """Labels are those that the metric declares, sorted."""
        for kind in KINDS:
            for point in points(of(kind, circleci__queue_ms=1, circleci__insight__window="last-7-days")):
                assert {name for name, _ in point.labels} <= {*point.measure.labels, "circleci.insight.window"}
                assert point.labels == tuple(sorted(point.labels))

    def test_no_label_can_hold_an_id_a_branch_or_a_test(self) -> None:
        """No declared label is of an unbounded kind."""
        unbounded = ("run.id", "revision", "number", "ref.head", "author", "case.name", "url")
        assert not [m.name for m in MEASURES for name in m.labels if any(part in name for part in unbounded)]

    def test_only_histograms_have_bounds_and_they_ascend(self) -> None:
        """Buckets belong to histograms."""
        for measure in MEASURES:
            assert bool(measure.bounds) is (measure.instrument == "histogram")
            assert list(measure.bounds) == sorted(set(measure.bounds))
