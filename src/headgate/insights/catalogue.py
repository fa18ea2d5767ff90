"""The metric catalogue: every metric of `definitions` and `others` by its name, and the KPIs of the configuration.

Rules, pages, exports and documentation read this table; nothing else defines a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from headgate.insights.definitions import RUN_METRICS
from headgate.insights.dimensions import DEFAULT_BRANCH_CLASS, DIMENSIONS
from headgate.insights.metric import Family, Format, MetricDef, Over
from headgate.insights.others import OTHER_METRICS
from headgate.insights.sums import FAILED

__all__ = [
    "CATALOGUE",
    "DEFAULT_BRANCH_CLASS",
    "DIMENSIONS",
    "FAILED",
    "Catalogue",
    "Family",
    "Format",
    "MetricDef",
    "Over",
]

_SUFFIX: Mapping[Over, str] = {
    "workflow": "_of_runs",
    "workflow_without_hold": "_without_hold",
    "jobs": "_of_jobs",
}


class Catalogue(Mapping[str, MetricDef]):
    """Metrics by id. An id that several things have (`over`) means its first variant; the others have longer names.

    As a mapping it has the ids alone. `names` has every variant, as formulas write it: `duration_p95`,
    `duration_p95_without_hold`, `duration_p95_of_jobs`.
    """

    def __init__(self, metrics: Iterable[MetricDef]) -> None:
        self._ids: dict[str, dict[Over, MetricDef]] = {}
        self.names: dict[str, MetricDef] = {}
        for metric in metrics:
            variants = self._ids.setdefault(metric.id, {})
            self.names[metric.id + (_SUFFIX[metric.over] if variants else "")] = metric
            variants[metric.over] = metric

    def __getitem__(self, metric_id: str) -> MetricDef:
        return next(iter(self._ids[metric_id].values()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def resolve(self, metric_id: str, over: Over | None = None) -> MetricDef:
        """The metric, or its variant. Raises ValueError that says what is possible."""
        if metric_id not in self._ids:
            near = get_close_matches(metric_id, self._ids, n=1, cutoff=0.6)
            hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(self._ids))}"
            raise ValueError(f"unknown metric {metric_id!r}; {hint}")
        variants = self._ids[metric_id]
        if over is None:
            return next(iter(variants.values()))
        if over not in variants:
            raise ValueError(f"{metric_id} is not over {over}; it is over {', '.join(variants)}")
        return variants[over]

    def extended(self, more: Iterable[MetricDef]) -> Catalogue:
        """This catalogue and some more metrics."""
        return Catalogue([*self.names.values(), *more])


CATALOGUE = Catalogue((*RUN_METRICS, *OTHER_METRICS))
