"""A test that has become flaky, or flakier: `flaky: {score: 90%, worse: 2, history: 28d}`.

New: its score over the window says that it fails by itself, and the time before it did not. Worse: it did before too,
and now fails by itself so many times as often. Infrastructure failures count for neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import Duration, DurationField, QuantityField, in_metric_unit
from headgate.alerting.view import Bounds, Found, View
from headgate.core.alertdata import Alert, AlertState, Outcome
from headgate.core.slug import org_slug
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.flaky import Evidence, count
from headgate.insights.metric import Labels
from headgate.insights.rows import outcome_pages

__all__ = ["Flaky", "FlakySpec"]

_OPEN = (AlertState.PENDING, AlertState.FIRING, AlertState.RECOVERING)
# Half-way between certain and unknown: below it the window no longer says that it is flaky.
_RECOVERED = 0.5


@dataclass(frozen=True, slots=True)
class Flaky:
    """`score`: probability from which a test counts as flaky. `worse`: times the rate before, 0 for new ones alone."""

    score: float
    worse: float
    history_ms: int

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        now = await self._evidence(view, view.bounds())
        suspects = {labels: seen for labels, seen in now.items() if seen.flakes and seen.score >= self.score}
        past: Mapping[Labels, Evidence] = {}
        if any(labels not in alerts for labels in suspects):
            past = await self._evidence(
                view, view.bounds(self.history_ms, back_ms=view.rule.window_ms, align_ms=HOUR_MS)
            )
        found: dict[Labels, Found] = {}
        for labels, alert in alerts.items():
            if labels in now:
                found[labels] = self._followed(now[labels], alert, past.get(labels))
        for labels, seen in suspects.items():
            if labels not in alerts and self._is_news(seen, past.get(labels)):
                found[labels] = self._breach(seen, past.get(labels))
        return found

    async def _evidence(self, view: View, bounds: Bounds) -> Mapping[Labels, Evidence]:
        found: dict[Labels, Evidence] = {}
        tests: dict[tuple[str, str], Evidence] = {}
        async for page in outcome_pages(view.shared.store, bounds, failing=True):
            for one in page:
                if view.accepts({"project": one.project, "org": org_slug(one.project)}):
                    count(tests, one)
        for seen in tests.values():
            values = {"org": org_slug(seen.project), "project": seen.project, "test": seen.name}
            labels = tuple(sorted((name, values[name]) for name in view.rule.by))
            if labels not in found or seen.score > found[labels].score:
                found[labels] = seen
        return found

    def _is_news(self, seen: Evidence, past: Evidence | None) -> bool:
        if past is None or past.score < self.score:
            return True
        return bool(self.worse) and seen.rate >= self.worse * past.rate

    def _followed(self, seen: Evidence, alert: Alert, past: Evidence | None) -> Found:
        if alert.state not in _OPEN and not (seen.score >= self.score and self._is_news(seen, past)):
            return Found(Outcome.CLEAR, 0, seen.score, n=seen.passes + seen.flakes, n_new=1)
        if seen.score >= self.score:
            return self._breach(seen, past)
        outcome = Outcome.CLEAR if seen.score < _RECOVERED else Outcome.BETWEEN
        return Found(outcome, 0, seen.score, alert.baseline, seen.passes + seen.flakes, 1)

    @staticmethod
    def _breach(seen: Evidence, past: Evidence | None) -> Found:
        texts = {
            "test": seen.name,
            "file": seen.file,
            "flakes": seen.flakes,
            "rate": seen.rate,
            "jobs": sorted(seen.jobs),
        }
        n = seen.passes + seen.flakes
        return Found(Outcome.BREACH, 1, seen.score, past.score if past else None, n, 1, texts=texts)


class FlakySpec(Spec):
    """New and worsening flaky tests."""

    score: QuantityField = Field(default=0.9, description="Probability from which a test counts as flaky: 90%.")
    worse: float = Field(default=2, ge=0, description="How many times as often it must fail; 0: new ones alone.")
    history: DurationField = Field(default=Duration(28 * DAY_MS), description="The time before the window.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused()
        if on.metric.id != "flaky_score":
            on.note(("metric",), "this kind is told of metric flaky_score")
        if "test" not in on.by or set(on.by) - {"org", "project", "test"}:
            on.note(("by",), "must be project and test (or org and test)")
        if self.history.ms < on.window_ms:
            on.note(("flaky", "history"), "must be as long as the window at least")
        score = on.quantity(("flaky", "score"), lambda: in_metric_unit(self.score, "percentage"))
        return None if score is None else Flaky(score, self.worse, self.history.ms)
