"""The incidents planted in the history, told at `GET /_twin/stories`.

Invariant: a story is a pure function of the options; what it does to a run depends on the run's own times.
"""

from dataclasses import dataclass, field

from headgate.testing.circleci.knobs import Knobs, Options
from headgate.testing.circleci.plants import Plants, plant_all
from headgate.testing.circleci.times import DAY, HOUR, rfc3339_ms

_NOON = 12 * HOUR


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, end not included; `project` None means all projects, `until` 0 means for ever."""

    name: str
    project: int | None
    since: int
    until: int

    def holds(self, project: int, at: int) -> bool:
        """Say whether a moment of a project lies within."""
        return (self.project is None or self.project == project) and (
            self.since <= at and (at < self.until or not self.until)
        )


@dataclass(frozen=True, slots=True)
class Stories:
    """The incidents and what they do, or nothing at all."""

    knobs: Knobs
    plants: Plants = field(default_factory=Plants)
    regression: Window | None = None
    jam: Window | None = None
    outage: Window | None = None

    def regressed(self, project: int, at: int, *, on_default_branch: bool) -> bool:
        """Say whether a main workflow created then is worse than it was."""
        return bool(on_default_branch and self.regression and self.regression.holds(project, at))

    def queue_factor(self, project: int, at: int) -> float:
        """Give by how much longer a job queued then has to wait."""
        jam = self.knobs.jam_factor if self.jam and self.jam.holds(project, at) else 1.0
        return jam * self.plants.queue_factor(project, at)

    def breaks(self, project: int, at: int) -> bool:
        """Say whether CircleCI itself is down for a job started then."""
        return bool(self.outage and self.outage.holds(project, at))


def plant(options: Options) -> Stories:
    """Place the incidents: outage at two fifths, queue jam at three fifths, regression near the end."""
    if options.knobs.plants:
        return Stories(options.knobs, plant_all(options))
    if not options.knobs.stories:
        return Stories(options.knobs)
    length = options.days * DAY
    jam_at = _midday(options.start_ms + length * 3 // 5)
    outage_at = _midday(options.start_ms + length * 2 // 5)
    worse_at = options.now_ms - max(length // 10, 6 * HOUR)
    return Stories(
        options.knobs,
        regression=Window("regression", 0, worse_at, 0),
        jam=Window("queue_jam", min(1, options.projects - 1), jam_at, jam_at + 5 * HOUR),
        outage=Window("outage", None, outage_at, outage_at + 2 * HOUR),
    )


def _midday(at: int) -> int:
    """Move to 12:00 UTC of the same day, when there is something to break."""
    return at // DAY * DAY + _NOON


def tell(stories: Stories, slugs: list[str]) -> list[dict[str, object]]:
    """Describe the incidents for people and tests; `slugs` are the short slugs by project."""
    knobs = stories.knobs
    planted: list[dict[str, object]] = [
        {
            "name": plant.kind,
            "project": slugs[plant.project],
            "since": rfc3339_ms(plant.since),
            "until": rfc3339_ms(plant.until) if plant.until else None,
            "workflow": plant.workflow,
            "job": plant.job,
            "size": plant.size,
        }
        for plant in stories.plants.all
    ]
    effects: dict[str, dict[str, object]] = {
        "regression": {
            "workflow": "build-test-deploy",
            "branch": "default",
            "success_rate": [knobs.main_success_rate, knobs.regression_success_rate],
            "duration_factor": knobs.regression_slowdown,
        },
        "queue_jam": {"queue_factor": knobs.jam_factor},
        "outage": {"infrastructure_fail_rate": knobs.outage_fail_rate},
    }
    windows = (stories.regression, stories.jam, stories.outage)
    return planted + [
        {
            "name": window.name,
            "project": None if window.project is None else slugs[window.project],
            "since": rfc3339_ms(window.since),
            "until": rfc3339_ms(window.until) if window.until else None,
            **effects[window.name],
        }
        for window in windows
        if window is not None
    ]
