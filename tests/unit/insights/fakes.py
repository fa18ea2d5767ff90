"""Rows made by hand, and a store that answers with them."""

from collections import Counter

from headgate.core.deployed import placed
from headgate.core.outages import sum_outages
from headgate.core.runrows import DeploymentRow, JobRow, RunRow, StepFailures, TestOutcome

WEB, API = "gh/acme/web", "gh/acme/api"


def run(name: str, stopped_ms: int, status: str = "success", **more) -> RunRow:
    """A run of WEB build on main that took a second."""
    base = {
        "project": WEB,
        "workflow": "build",
        "ref": "main",
        "branch_class": 1,
        "duration_ms": 1000,
        "revision": "r1",
        "pipeline_number": 1,
        "url": f"https://ci/{name}",
        "created_ms": stopped_ms - 1000,
    }
    return RunRow(workflow_id=name, status=status, stopped_ms=stopped_ms, **(base | more))


def job(name: str, stopped_ms: int, status: str = "success", **more) -> JobRow:
    """A job `test` of WEB build on main that ran a second and waited two."""
    base = {
        "workflow_id": "w",
        "project": WEB,
        "workflow": "build",
        "job": "test",
        "ref": "main",
        "branch_class": 1,
        "type": "build",
        "resource_class": "large",
        "executor": "docker",
        "parallelism": 1,
        "started_ms": stopped_ms - 1000,
        "duration_ms": 1000,
        "queue_ms": 2000,
        "credits": 5,
        "revision": "r1",
        "number": 3,
        "url": "",
        "trigger": "webhook",
    }
    return JobRow(job_id=name, status=status, stopped_ms=stopped_ms, **(base | more))


def outcome(test: str, revision: str, passed: int, failed: int, **more) -> TestOutcome:
    """Results of a test of WEB's job `test` on a commit."""
    base = {
        "project": WEB,
        "suite": "unit",
        "class_name": "Cart",
        "file": "cart.py",
        "infra": 0,
        "jobs": ("test",),
        "first_ms": 1,
        "last_ms": 2,
        "run_ms": 100 * (passed + failed),
    }
    return TestOutcome(test_id=test, name=test, revision=revision, passed=passed, failed=failed, **(base | more))


def deployment(name: str, stopped_ms: int, status: str = "succeeded", **more) -> DeploymentRow:
    """A deployment of WEB to production."""
    base = {
        "project": WEB,
        "name": "web",
        "environment": "production",
        "revision": "r1",
        "version": "",
        "started_ms": None,
        "workflow_id": "",
        "job_id": "",
        "origin": "rule",
        "url": "",
    }
    return DeploymentRow(deployment_id=name, status=status, stopped_ms=stopped_ms, **(base | more))


class Rows:
    """A store that has these rows. `asked`: what it was asked for."""

    def __init__(self, *rows, tallies=None) -> None:
        self.rows = sorted(rows, key=lambda row: getattr(row, "stopped_ms", 0))
        self.given = tallies or {}
        self.asked = []

    def _of(self, kind):
        return [row for row in self.rows if isinstance(row, kind)]

    def _between(self, kind, since_ms, until_ms, page):
        name = {RunRow: "workflow_id", DeploymentRow: "deployment_id"}[kind]
        behind = page["after"] or (since_ms - 1, "")
        found = [row for row in self._of(kind) if since_ms <= row.stopped_ms < until_ms]
        return [row for row in found if (row.stopped_ms, getattr(row, name)) > behind][: page["limit"]]

    async def runs_between(self, since_ms, until_ms, **page):
        """Runs by end."""
        self.asked.append("runs")
        return self._between(RunRow, since_ms, until_ms, {"after": None, **page})

    async def deployments_between(self, since_ms, until_ms, **page):
        """Deployments by end."""
        return self._between(DeploymentRow, since_ms, until_ms, {"after": None, **page})

    async def deployment_ends(self, since_ms, until_ms, *, project=None, begun=False):
        """Deployments by end, with the first run of their commit, or the run of an id."""
        self.asked.append("commits" if begun else "deployments")
        found = []
        for row in self._of(DeploymentRow):
            if since_ms <= row.stopped_ms < until_ms and project in (None, row.project):
                name, own = (
                    row.revision or row.workflow_id,
                    [one for one in self._of(RunRow) if one.project == row.project],
                )
                runs = [one for one in own if name in (one.revision, one.workflow_id)]
                times = [one.created_ms for one in runs if one.created_ms is not None and begun]
                ok, lead_ms = row.status == "succeeded", max(0, row.stopped_ms - min(times)) if times else None
                if ok or row.status == "failed":
                    place = (row.project, row.environment, row.name)
                    found.append((row.stopped_ms, *place, ok, row.revision, lead_ms))
        return placed(found, lambda names: names)

    async def test_outcomes(self, bounds, *, after=None, limit, failing=False):
        """Outcomes by project, test and commit."""
        found = sorted(self._of(TestOutcome), key=lambda one: (one.project, one.test_id, one.revision))
        failed = {(one.project, one.test_id) for one in found if one.failed or one.infra}
        found = [one for one in found if not failing or (one.project, one.test_id) in failed]
        rest = [one for one in found if after is None or (one.project, one.test_id, one.revision) > after]
        return [one for one in rest if one.project in bounds][:limit]

    async def outcomes_of(self, bounds, tests):
        """Of some tests."""
        found = await self.test_outcomes(bounds, limit=10_000)
        return [one for one in found if (one.project, one.test_id) in tests]

    async def test_faults(self, bounds):
        """Outcomes with a failure."""
        return [one for one in await self.test_outcomes(bounds, limit=10_000) if one.failed]

    async def test_counts(self, bounds):
        """Tests by project."""
        tests = {(one.project, one.test_id) for one in await self.test_outcomes(bounds, limit=10_000)}
        return Counter(project for project, _ in tests)

    async def outage_sums(self, bounds, *, by, least_ms):
        """What runs add up to."""
        self.asked.append("outages")
        return sum_outages(self._of(RunRow), bounds, by, least_ms)

    async def steps_failed(self, bounds):
        """Failing steps."""
        return [one for one in self._of(StepFailures) if one.project in bounds]

    async def tallies(self, query):
        """What was given."""
        self.asked.append(query)
        return self.given

    async def series(self, kind, *, project, workflow, job, branch_class, statuses, before_ms, limit):
        """The newest of a name."""
        self.asked.append((kind, branch_class, limit))
        found = [
            row
            for row in self._of(RunRow if kind == "workflow" else JobRow)
            if (row.project, row.workflow, getattr(row, "job", None)) == (project, workflow, job)
            and branch_class in (None, row.branch_class)
            and row.status in statuses
            and row.stopped_ms < before_ms
        ]
        return found[-limit:]
