"""Every number the generated history depends on, and the options a twin is started with.

Invariant: two twins with equal `Options` (and `now_ms`) answer with the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headgate.testing.circleci.times import DAY

_RETENTION_DAYS = {"cloud": 90, "server": 660}


@dataclass(frozen=True, slots=True)
class Knobs:
    """Rates (0 to 1) and sizes of the history; the defaults look like a busy company.

    Every field can be set as `--knob NAME=VALUE` on the command line.
    """

    jobs_min: int = 4  # build and approval jobs of a project's main workflow, at least
    jobs_max: int = 8
    families: bool = True  # from four projects on, three that are no GitHub OAuth projects
    uneven: float = 0.0  # how much busier the first projects are: the n-th starts pipelines by 1 / n ** uneven
    growth: float = 0.0  # how much the organization grew: on the first day it did so much less than on the last
    branch_variants: bool = True  # branches other than the default one leave out hold and deploy
    second_workflow_rate: float = 0.15  # pipelines with a documentation workflow beside the main one
    default_branch_rate: float = 0.45
    renovate_rate: float = 0.13
    tag_rate: float = 0.03
    api_rate: float = 0.06  # pipelines started through the API: their commit is null
    errored_rate: float = 0.015  # pipelines that never got a configuration, so have no workflow
    schedules: bool = True  # one nightly pipeline per project
    approval_rate: float = 0.5  # projects whose main workflow waits for an approval
    approval_never_rate: float = 0.05  # approvals nobody ever gives; half of those are canceled days later
    main_success_rate: float = 0.95
    branch_success_rate: float = 0.82
    cancel_rate: float = 0.04
    error_rate: float = 0.004  # workflows that could not be set up
    unauthorized_rate: float = 0.004
    infrastructure_fail_rate: float = 0.003  # per job
    timeout_rate: float = 0.002  # per job
    rerun_rate: float = 0.3  # failed workflows that somebody reruns, minutes to hours later
    rerun_whole_share: float = 0.3  # the rest reruns from failed
    rerun_success_rate: float = 0.8
    late_reruns_per_day: float = 0.15  # reruns of some pipeline two days old or older
    flaky_share: float = 0.5  # failures of test jobs that are a flaky test's fault
    odd_tests: float = 0.0  # tests with parameters in their name, a blank file, or a run_time that is text
    duration_factor: float = 1.0
    duration_sigma: float = 0.35  # of the log of a job's duration
    queue_seconds: float = 3.0  # median
    queue_sigma: float = 0.8
    insights_delay: float = 86_400.0  # seconds after which Insights knows; a Server: 0, or else once a day
    insights_page: int = 250  # runs, workflows, jobs or intervals per page of Insights
    stories: bool = True  # plant the regression, the queue jam and the outage
    regression_success_rate: float = 0.4
    regression_slowdown: float = 1.8
    jam_factor: float = 60.0  # times the usual queue time
    outage_fail_rate: float = 0.75
    plants: bool = False  # plant six regressions, different for each seed, in place of those stories; see `plants`
    plants_now: bool = False  # with `plants`: they reach into the present, the worst in the first project
    steps: bool = True  # commands in the steps of v1.1's single build; without, only the two of the platform
    split_steps: bool = False  # steps on every machine of a parallel job, unevenly; without, on the first alone
    tests: bool = True
    test_share: float = 1.0  # how many of a job's tests there are; 8 at least
    test_messages: bool = False  # failing tests say different things, with numbers, paths and times; else all the same
    test_lists: bool = True  # without, jobs store results as artifacts alone
    artifacts: bool = True
    retention_days: int = 0  # what is older is 404; 0: 90 days, of a Server 660
    export_polls: int = 2  # looks at a usage export until it is completed, and
    export_seconds: float = 0.0  # seconds of the twin's clock, whichever takes longer
    export_rows_per_file: int = 20_000
    webhooks_over_http: bool = False  # take http URLs of this machine for managed webhooks; CircleCI takes https alone


@dataclass(frozen=True, slots=True)
class Options:
    """What one twin is: its organization, its clock, its limits and where its webhooks go."""

    now_ms: int
    seed: int = 1
    days: int = 30
    projects: int = 4
    runs_per_day: float = 20.0  # pipelines per project and day, averaged over the week and the projects
    token: str = "twin-token"
    rate_limit: float | None = None  # requests per second and token; None does not limit
    rate_burst: float | None = None  # requests at once; None: as many as per second
    rights: Mapping[str, Any] = field(default_factory=dict)  # grants by token, see `rights`
    mode: Literal["cloud", "server"] = "cloud"
    webhook_url: str | None = None
    webhook_secret: str | None = None
    webhook_tries: int = 3
    webhook_pause_seconds: float = 0.2  # real seconds before the second try, doubled for each next one
    webhook_timeout_seconds: float = 10.0
    webhooks_in_flight: int = 16
    live: bool = False
    speed: float = 1.0  # twin seconds per real second, with `live`
    knobs: Knobs = field(default_factory=Knobs)

    @property
    def start_ms(self) -> int:
        """The first moment of the history."""
        return self.now_ms - self.days * DAY

    @property
    def runs_by_project(self) -> tuple[float, ...]:
        """Pipelines of each project and day, averaged over the week."""
        weights = [(index + 1) ** -self.knobs.uneven for index in range(self.projects)]
        return tuple(self.runs_per_day * weight * self.projects / sum(weights) for weight in weights)

    def activity(self, at: int) -> float:
        """Give what share of the last day's pipelines start on the day of a moment."""
        left = max(0.0, (self.now_ms - at) / (self.days * DAY))
        return 1.0 - self.knobs.growth * min(1.0, left)

    @property
    def retention_ms(self) -> int:
        """How long the API keeps what happened."""
        return (self.knobs.retention_days or _RETENTION_DAYS[self.mode]) * DAY
