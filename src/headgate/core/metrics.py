"""Headgate's own metrics: the closed list of names, what they mean and their labels.

Engines count through the `Metrics` port; one adapter (app.telemetry) keeps the figures and serves `/metrics`. Labels
come from closed or configured sets only: names of sources, sinks, signals, fixed reasons; never project, branch or id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["HISTOGRAM_BOUNDS", "METRICS", "MetricDef", "Metrics", "NullMetrics"]

# Upper bounds of all histograms, in seconds: from a webhook's few milliseconds to a slow sink's half minute.
HISTOGRAM_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric of our own. `kind` as Prometheus has it; the unit is the end of the name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    doc: str


def _defs(
    *rows: tuple[str, Literal["counter", "gauge", "histogram"], tuple[str, ...], str],
) -> dict[str, MetricDef]:
    return {name: MetricDef(name, kind, labels, doc) for name, kind, labels, doc in rows}


METRICS: dict[str, MetricDef] = _defs(
    ("headgate_webhook_requests_total", "counter", ("source", "status"), "Webhook requests by answer."),
    ("headgate_webhook_answer_seconds", "histogram", (), "From request to answer of a webhook, refused ones too."),
    (
        "headgate_http_connections_ended_total",
        "counter",
        ("listener", "reason"),
        "Connections refused (full) or ended: silent, slow_head, large_head, slow_body, slow_reader, tls.",
    ),
    ("headgate_inbox_waiting", "gauge", (), "Deliveries kept and not yet merged."),
    ("headgate_inbox_parked", "gauge", ("source",), "Deliveries that wait for their source to be configured again."),
    ("headgate_inbox_unreadable", "gauge", (), "Deliveries that could not be parsed; kept with the reason."),
    (
        "headgate_inbox_dead_total",
        "counter",
        ("source", "reason"),
        "Deliveries set aside because they could not be parsed.",
    ),
    ("headgate_observations_total", "counter", ("source", "kind"), "Observations merged."),
    ("headgate_observations_unchanged_total", "counter", ("source",), "Observations that told nothing new."),
    (
        "headgate_unknown_words_total",
        "counter",
        ("source", "field"),
        "Statuses or event types that CircleCI does not document.",
    ),
    ("headgate_records_released_total", "counter", ("kind", "lane"), "Records appended to the log."),
    (
        "headgate_records_withheld_total",
        "counter",
        ("source", "kind"),
        "Ended things whose record our own code could not write; they wait for the next thing learnt of them.",
    ),
    (
        "headgate_source_calls_total",
        "counter",
        ("source", "route", "status"),
        "API calls by route template and answer.",
    ),
    (
        "headgate_audit_items_total",
        "counter",
        ("source", "outcome"),
        "Runs, jobs and pipelines that an audit held against the store: present, repaired, unrepairable, unannounced.",
    ),
    (
        "headgate_source_wait_seconds_total",
        "counter",
        ("source", "reason"),
        "Time spent waiting: budget, retry_after, rate_limit, back_off.",
    ),
    (
        "headgate_source_calls_per_hour",
        "gauge",
        ("source", "of"),
        "API calls an hour: the estimate, and the rate of the last ten minutes.",
    ),
    ("headgate_source_budget_left", "gauge", ("source",), "Calls that the budget would let through at once."),
    (
        "headgate_source_walk_age_seconds",
        "gauge",
        ("source",),
        "Age of the oldest last complete walk of any project; one with proven webhooks counts as walked now.",
    ),
    (
        "headgate_source_missing_detail_total",
        "counter",
        ("source", "reason"),
        "Facts delivered without detail the source no longer has.",
    ),
    ("headgate_source_refused", "gauge", ("source", "reason"), "1 while the source refuses us."),
    (
        "headgate_source_clock_skew_seconds",
        "gauge",
        ("source",),
        "The source's clock minus ours, from the Date header.",
    ),
    (
        "headgate_walk_pages_capped_total",
        "counter",
        ("source",),
        "Walks that stopped at the page cap before their end.",
    ),
    (
        "headgate_sink_records_total",
        "counter",
        ("sink", "signal", "outcome"),
        "Records by outcome: accepted, rejected, retried.",
    ),
    (
        "headgate_sink_skipped_total",
        "counter",
        ("sink", "signal", "reason"),
        "Records a signal did not take, by reason.",
    ),
    (
        "headgate_sink_filtered_total",
        "counter",
        ("sink", "signal", "by"),
        "Records that the sink's `records` section holds back: kinds, projects, branches.",
    ),
    (
        "headgate_sink_requests_total",
        "counter",
        ("sink", "signal", "verdict"),
        "Batches by the class of the answer.",
    ),
    ("headgate_sink_request_seconds", "histogram", ("sink", "signal"), "Round trip of one batch."),
    ("headgate_sink_waiting", "gauge", ("sink", "signal"), "Records in the log that the signal has not got."),
    (
        "headgate_sink_lag_seconds",
        "gauge",
        ("sink", "signal"),
        "Age, since the end it tells of, of the oldest record that the signal has not got.",
    ),
    ("headgate_sink_dead", "gauge", ("sink", "signal"), "Dead letters."),
    ("headgate_sink_state", "gauge", ("sink", "signal", "state"), "1 for the state the signal is in."),
    (
        "headgate_sink_unforeseen_answers_total",
        "counter",
        ("sink", "signal", "status"),
        "Answers nobody foresaw; retried.",
    ),
    ("headgate_store_bytes", "gauge", (), "Bytes of the database, its WAL and the dead letters."),
    ("headgate_store_level", "gauge", ("level",), "1 for the rung of the quota ladder in force."),
    ("headgate_store_commits_total", "counter", ("unit",), "Transactions by unit of work."),
    ("headgate_store_commit_seconds", "histogram", ("unit",), "From begin to flushed."),
    (
        "headgate_store_gaps_total",
        "counter",
        ("sink", "reason"),
        "Losses that were chosen or found; each is a row.",
    ),
    ("headgate_alerts", "gauge", ("state",), "Alert instances by state."),
    ("headgate_alert_evaluations_total", "counter", ("result",), "Rule evaluations: done, stale, failed."),
    ("headgate_outbox_waiting", "gauge", (), "Notifications not yet accepted."),
    (
        "headgate_notifications_total",
        "counter",
        ("notifier", "outcome"),
        "Notifications: accepted, partly, unwanted, retried, dead.",
    ),
    (
        "headgate_files_total",
        "counter",
        ("kind", "file", "outcome"),
        "Scheduled exports and reports by outcome: written, failed.",
    ),
    ("headgate_file_failing", "gauge", ("kind", "file"), "1 while a scheduled export or report cannot be written."),
    ("headgate_reloads_total", "counter", ("result",), "Configuration reloads."),
    ("headgate_build_info", "gauge", ("version", "schema"), "Always 1."),
)


class Metrics(Protocol):
    """Where engines report figures. Thread-safe; never raises for a defined metric; names are keys of METRICS."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        ...

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
        ...

    def observe_many(self, name: str, counts: Sequence[int], total: float) -> None:
        """Add values to a histogram without labels at once: how many up to each of HISTOGRAM_BOUNDS, the last beyond.

        `total`: the sum of the values. For a path so hot that adding one by one would be felt.
        """
        ...


class NullMetrics:
    """Checks names and labels against METRICS and keeps nothing."""

    def _check(self, name: str, labels: dict[str, str]) -> None:
        if set(labels) != set(METRICS[name].labels):
            raise ValueError(f"{name} takes labels {METRICS[name].labels}, not {tuple(labels)}")

    def count(self, name: str, amount: float = 1, **labels: str) -> None:  # noqa: ARG002  # a null adapter
        """Check the name and labels."""
        self._check(name, labels)

    def set(self, name: str, value: float, **labels: str) -> None:  # noqa: ARG002  # a null adapter
        """Check the name and labels."""
        self._check(name, labels)

    def observe(self, name: str, value: float, **labels: str) -> None:  # noqa: ARG002  # a null adapter
        """Check the name and labels."""
        self._check(name, labels)

    def observe_many(self, name: str, counts: Sequence[int], total: float) -> None:  # noqa: ARG002  # a null adapter
        """Check the name."""
        self._check(name, {})
