"""A made-up history of runs and jobs for metrics: the truth as plain dictionaries, and what a store is told of it.

What is told comes shuffled: some of it late, some of it wrong first and corrected later or, worse, before.
"""

import asyncio
import random
from pathlib import Path

from headgate.core.clock import ManualClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store
from headgate.store import Quota, SqliteStore

NOW = 1_795_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
PROJECTS = ("gh/acme/api", "gh/acme/web", "gh/beta/app")
# CircleCI's words, and how often each comes.
WORDS = ["success"] * 14 + ["failed"] * 3 + ["timedout", "infrastructure_fail", "canceled", "canceled", "not_run"]


def key(kind: int, number: int) -> str:
    """An id as CircleCI writes it."""
    return f"00000000-0000-4000-8000-{kind:04d}{number:08d}"


class World:
    """`runs`, `jobs`: the truth, in CircleCI's words; of both everything that ended in `days` before NOW."""

    def __init__(self, count: int, *, days: int = 10, seed: int = 5) -> None:
        self.draw = random.Random(seed)
        self.runs: list[dict] = []
        self.jobs: list[dict] = []
        for number in range(count):
            self._add(number, days)
        self._link_reruns()

    def _add(self, number: int, days: int) -> None:
        draw = self.draw
        # Every tenth run repeats the one before it: it belongs to that one's pipeline and begins after its end.
        old = self.runs[-1] if number % 10 == 9 else None
        created = old["stopped"] + draw.randrange(2_000, HOUR) if old else NOW - draw.randrange(2 * HOUR, days * DAY)
        run = {
            "id": key(1, number),
            "pipeline": old["pipeline"] if old else key(2, number),
            "project": old["project"] if old else draw.choice(PROJECTS),
            "workflow": old["workflow"] if old else draw.choice(("build", "ship")),
            "branch": old["branch"] if old else draw.choice(("main", "main", "fix/a", "fix/b")),
            "trigger": old["trigger"] if old else draw.choice(("webhook", "api", "schedule")),
            "status": draw.choice(WORDS),
            "created": created,
            "stopped": created + round(draw.lognormvariate(13, 1)),
            "credits": draw.randrange(500),
            "estimated": draw.random() < 0.05,
            "rerun_of": None,
            "hold": 0,
        }
        self.runs.append(run)
        self._add_job(run, draw.choice(("test", "lint")), 10 * number + 1)
        if number % 8 == 0:
            self._add_approval(run, 10 * number)

    def _add_job(self, run: dict, name: str, number: int) -> None:
        draw, queued = self.draw, run["created"] + self.draw.randrange(1000)
        started = queued + round(draw.expovariate(1 / 20_000))
        self.jobs.append(
            {
                "id": key(3, number),
                "run": run,
                "name": name,
                "type": "build",
                "status": draw.choice(WORDS),
                "queued": queued,
                "started": started,
                "stopped": started + round(draw.lognormvariate(12, 1.2)),
                "class": draw.choice(("small", "large")),
                "credits": draw.randrange(200),
            }
        )

    def _add_approval(self, run: dict, number: int) -> None:
        started = run["created"] + 500
        stopped = started + self.draw.randrange(1, run["stopped"] - run["created"] + 1000)
        run["hold"] += stopped - started
        approval = {"name": "hold", "type": "approval", "status": "success", "started": started, "stopped": stopped}
        self.jobs.append({"id": key(3, number), "run": run, "queued": None, "class": None, "credits": None, **approval})

    def _link_reruns(self) -> None:
        for before, run in zip(self.runs, self.runs[1:], strict=False):
            if run["pipeline"] == before["pipeline"]:
                run["rerun_of"] = before["id"]

    def told(self) -> list[Observation]:
        """Everything a store is told, in the order in which it is told."""
        seen: list[Observation] = []
        for run in self.runs:
            if run["rerun_of"] is None:
                seen.append(_observation("pipeline", run["pipeline"], run, _pipeline(run), 1))
            seen += self._versions("workflow", run, run, _run(run))
        for job in self.jobs:
            seen += self._versions("job", job, job["run"], _job(job))
        self.draw.shuffle(seen)
        return seen

    def _versions(self, kind: str, thing: dict, run: dict, fields: dict) -> list[Observation]:
        """The truth, and before it, for every third thing, something else."""
        truth = _observation(kind, thing["id"], run, fields, 2)
        if self.draw.random() > 0.33 or fields.get("type") == "approval":
            return [truth]
        wrong = fields | {"status": self.draw.choice(("success", "failed", "canceled"))}
        wrong["stopped_at"] = fields["stopped_at"] + self.draw.randrange(-HOUR, 3 * HOUR)
        wrong["credits"] = self.draw.randrange(500)
        return [_observation(kind, thing["id"], run, wrong, 1), truth]


def _observation(kind: str, name: str, run: dict, fields: dict, observed_ms: int) -> Observation:
    slug = run["project"]
    project = ProjectRef("circleci.com", slug, slug.rpartition("/")[0], key(9, PROJECTS.index(slug)))
    known = {name: value for name, value in fields.items() if value is not None}
    return Observation(kind, name, project, "v2", observed_ms, terminal=True, fields=known)


def _pipeline(run: dict) -> dict:
    place = {"ref_name": run["branch"], "ref_type": "branch", "revision": run["pipeline"][-8:]}
    return {
        "number": int(run["pipeline"][-8:]) + 1,
        "created_at": run["created"],
        "trigger_type": run["trigger"],
        **place,
    }


def _run(run: dict) -> dict:
    return {
        "name": run["workflow"],
        "status": run["status"],
        "created_at": run["created"],
        "stopped_at": run["stopped"],
        "pipeline_id": run["pipeline"],
        "credits": run["credits"],
        "credits_estimated": run["estimated"],
    }


def _job(job: dict) -> dict:
    return {
        "name": job["name"],
        "type": job["type"],
        "status": job["status"],
        "queued_at": job["queued"],
        "started_at": job["started"],
        "stopped_at": job["stopped"],
        "workflow_id": job["run"]["id"],
        "resource_class": job["class"],
        "credits": job["credits"],
    }


def result(world: World, number: int, word: str = "fail", **more: object) -> Observation:
    """A result of a test of the world's first job, told with it."""
    job = world.jobs[0]
    fields = {"job_id": job["id"], "test_id": key(5, 0), "name": "t", "result": word, "stopped_at": job["stopped"]}
    return _observation("test_result", key(4, number), job["run"], {**fields, "run_ms": 5, **more}, 2)


async def tell(store: Store, seen: list[Observation]) -> None:
    """Merge everything, five hundred at a time."""
    for start in range(0, len(seen), 500):
        part = seen[start : start + 500]
        await store.merge_and_release(MergeWork("ci", part, ReleasePolicy("none"), NOW, NOW))


def sqlite(folder: Path) -> SqliteStore:
    """The store in a file; empty where there is none."""
    return SqliteStore(folder / "h.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))


def keep(folder: Path, world: World, *more: Observation) -> Path:
    """A file with everything that the world tells, and more, to be copied; call it outside of an event loop."""

    async def fill() -> None:
        store = sqlite(folder)
        await store.open()
        await tell(store, [*world.told(), *more])
        await store.close()

    asyncio.run(fill())
    return folder / "h.db"
