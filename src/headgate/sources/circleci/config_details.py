"""The configuration of what is asked about each job once it has ended, and what that costs in calls. Pure.

Everything is off unless it is switched on: each of these costs a call per job where all else costs a call per hundred.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from headgate.plugins.config import Duration, PluginConfig, duration_field

__all__ = ["DeploymentRule", "DetailsConfig", "Which", "details_cost"]

_MEGABYTE = 1_048_576


def _off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


Which = Annotated[Literal["off", "failed", "all"], BeforeValidator(_off)]
_Failed = Annotated[Literal["off", "failed"], BeforeValidator(_off)]
_All = Annotated[Literal["off", "all"], BeforeValidator(_off)]


class DetailsConfig(PluginConfig):
    """What is asked about each build job that ran, once it has ended. `failed`: about jobs that did not succeed."""

    tests: Which = Field(default="off", description="Test results: a call per job and page of results.")
    junit: tuple[str, ...] = Field(
        default=(),
        description="Globs over paths of artifacts that hold JUnit XML, read where CircleCI lists no test result.",
    )
    junit_max_bytes: int = Field(
        default=32 * _MEGABYTE, ge=1024, le=256 * _MEGABYTE, description="A longer JUnit file is left out and counted."
    )
    steps: Which = Field(default="off", description="Steps with their times and exit codes: a call per job.")
    output: _Failed = Field(
        default="off", description="Keep the end of the output of steps that failed; needs `steps`. Redacted."
    )
    output_bytes: int = Field(default=4096, ge=256, le=65_536, description="How much of the end is kept.")
    artifacts: _All = Field(default="off", description="Addresses of artifacts: a call per job and page of them.")
    within: Duration = duration_field(
        "0s", "Only jobs that ended so lately are asked about: of history, the newest part. 0s: all."
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts of outputs, artifacts and usage exports that may be private or speak http.",
    )


class DeploymentRule(PluginConfig):
    """A job that deploys: each such job that ended is a deployment, without any call."""

    job: str = Field(description="Glob over names of jobs, such as deploy-*.")
    branch: str = Field(default="*", description="Glob over branches and tags.")
    environment: str = Field(min_length=1, description="Where to.")
    name: str = Field(default="", description="What is deployed; the last part of the project's slug unless set.")

    def matches(self, job: str, ref: str) -> bool:
        """Whether a job of this name on this branch or tag is meant."""
        return fnmatchcase(job, self.job) and fnmatchcase(ref, self.branch)


def details_cost(config: DetailsConfig, *, failed_share: float = 0.1) -> dict[str, float]:
    """Calls for each job that ran, on average, by kind; kinds that are off are absent.

    `failed_share`: of the jobs. One page each is counted for tests and artifacts: up to some hundred of them.
    `junit` counts the list of artifacts and one file for jobs whose list of tests is empty, as if all were.
    """
    shares = {"off": 0.0, "failed": failed_share, "all": 1.0}
    tests = shares[config.tests]
    steps = shares[config.steps]
    costs = {
        "tests": tests,
        "junit": 2 * tests if config.junit else 0.0,
        "steps": steps,
        "output": failed_share if steps and config.output == "failed" else 0.0,
        "artifacts": shares[config.artifacts],
    }
    return {kind: calls for kind, calls in costs.items() if calls}
