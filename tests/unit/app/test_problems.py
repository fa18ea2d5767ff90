"""A key of another sink or program is answered with ours."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headgate.app.configfile import Origins
from headgate.app.problems import problems_of
from headgate.sinks import datadog, elasticsearch, loki, newrelic, prometheus, sumologic


@pytest.mark.parametrize(
    ("model", "key", "meant"),
    [
        (loki.LokiConfig, "static_labels", "tags"),
        (prometheus.PrometheusConfig, "labels", "tags"),
        (elasticsearch.ElasticsearchConfig, "labels", "tags"),
        (sumologic.SumologicConfig, "fields", "tags"),
        (datadog.DatadogConfig, "metrics_max_age", "max_age"),
        (datadog.DatadogConfig, "ci", "signals"),
        (newrelic.NewRelicConfig, "spans", "signals"),
    ],
)
def test_another_word_is_answered_with_ours(model: Any, key: str, meant: str) -> None:
    """The nearest key by letters would be another one, or none."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate({key: "x"})
    told = problems_of(caught.value, model, ("sinks", "one"), Origins("headgate.yaml"))
    (line,) = [line for line in told if f"sinks.one.{key}: " in line]
    assert line.endswith(f'unknown key; did you mean "{meant}"?')


def test_a_word_is_named_only_where_it_is_ours() -> None:
    """New Relic has no tags of its own, so nobody is sent there."""
    with pytest.raises(ValidationError) as caught:
        newrelic.NewRelicConfig.model_validate({"static_labels": {}})
    told = problems_of(caught.value, newrelic.NewRelicConfig, ("sinks", "one"), Origins("headgate.yaml"))
    assert not any('"tags"' in line for line in told)
