"""What Headgate knows about each kind of thing: the fields of every fact, declared once.

Tables of the store, the attributes of records and the generated documentation are all read from here. A field is
added here and nowhere else. Times are integers, milliseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "FIELDS",
    "FIELD_INDEX",
    "LEAF_KINDS",
    "RELEASED_KINDS",
    "RUN_KINDS",
    "FactKind",
    "Family",
    "Field",
    "FieldType",
    "Value",
]

FactKind = Literal[
    "pipeline",
    "workflow",
    "job",
    "step",
    "test_result",
    "usage",
    "platform_event",
    "deployment",
    "insight",
    "flaky_test",
    "audit",
]
# text: stored as it is. dim: text from a small set, stored as an integer. uuid: 16 bytes. ms: a point in time.
# json: a list or map of plain data, stored as text.
FieldType = Literal["text", "dim", "uuid", "int", "real", "ms", "bool", "json"]
# Which table of source ranks decides between two sources that both know the field (core.merge). derived: no input tells
# it, it follows from other facts (core.reruns).
Family = Literal["plain", "time", "status", "author", "credits", "derived"]
Value = str | int | float | bool | list[object] | dict[str, object]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a fact.

    `attribute` is its name in a record; None where records do not carry it or compute it (core.render).
    """

    name: str
    type: FieldType
    attribute: str | None
    doc: str
    family: Family = "plain"


_REF = (
    Field("ref_name", "dim", "vcs.ref.head.name", "Branch or tag that was built."),
    Field("ref_type", "dim", "vcs.ref.head.type", "`branch` or `tag`."),
    Field("revision", "text", "vcs.ref.head.revision", "Commit id, as the provider writes it."),
    Field("repository_url", "dim", "vcs.repository.url.full", "Repository, without `.git` and credentials."),
    Field("author_login", "dim", "circleci.author.login", "Login of the person who caused the run.", "author"),
    Field("author_name", "dim", "circleci.author.name", "Name of the commit's author.", "author"),
    Field("author_email", "dim", "circleci.author.email", "Dropped unless the source keeps it.", "author"),
    Field("commit_subject", "text", "circleci.commit.subject", "First line of the commit message.", "author"),
)

_PIPELINE = (
    Field("number", "int", "circleci.pipeline.number", "Number of the pipeline in its project."),
    Field("state", "dim", "circleci.pipeline.state", "CircleCI's word for the pipeline's state.", "status"),
    Field("created_at", "ms", "circleci.created_at", "When the pipeline was created.", "time"),
    Field("trigger_type", "dim", "circleci.trigger.type", "What started the pipeline, CircleCI's word."),
    *_REF,
    Field("errors", "json", "circleci.pipeline.errors", "Configuration errors, a list of {type, message}."),
)

_WORKFLOW = (
    Field("name", "dim", "cicd.pipeline.name", "Name of the workflow."),
    Field("status", "dim", "circleci.status", "CircleCI's word; `headgate.status` is ours.", "status"),
    Field(
        "created_at",
        "ms",
        "circleci.created_at",
        "When the workflow was created (a rerun: not its pipeline).",
        "time",
    ),
    Field("stopped_at", "ms", "circleci.stopped_at", "When the workflow ended.", "time"),
    Field("pipeline_id", "uuid", "circleci.pipeline.id", "CircleCI's pipeline, the trigger group."),
    Field("pipeline_number", "int", "circleci.pipeline.number", "Number of the pipeline in its project."),
    Field("trigger_type", "dim", "circleci.trigger.type", "What started the pipeline, CircleCI's word."),
    *_REF,
    Field("started_by", "dim", "circleci.started_by", "Id of the CircleCI user who started it."),
    Field("tag", "dim", "circleci.workflow.tag", "CircleCI's workflow tag, such as `setup`."),
    Field(
        "attempt", "int", "circleci.attempt", "2 for the first rerun, counting up; absent: it repeats none.", "derived"
    ),
    Field(
        "rerun_of",
        "uuid",
        "circleci.rerun_of",
        "The workflow that this one repeats: the newest of its name in the pipeline that had ended by then.",
        "derived",
    ),
    Field("credits", "int", "circleci.credits", "Credits used.", "credits"),
    Field(
        "partial_rerun",
        "bool",
        "circleci.partial_rerun",
        "Only part of the repeated workflow ran again; absent: all of it, or not known.",
    ),
    Field(
        "credits_estimated",
        "bool",
        "circleci.credits_estimated",
        "The credits are those of Insights, which are no bill; the usage export replaces them.",
        "credits",
    ),
)

_JOB = (
    Field("number", "int", "circleci.job.number", "Number of the job in its project; approvals have none."),
    Field("name", "dim", "cicd.pipeline.task.name", "Name of the job."),
    Field("type", "dim", "circleci.job.type", "`build` or `approval`."),
    Field("status", "dim", "circleci.status", "CircleCI's word; `headgate.status` is ours.", "status"),
    Field("created_at", "ms", "circleci.created_at", "When the job was created.", "time"),
    Field("queued_at", "ms", "circleci.queued_at", "When the job began to wait for a machine.", "time"),
    Field("started_at", "ms", "circleci.started_at", "When the job began to run.", "time"),
    Field("stopped_at", "ms", "circleci.stopped_at", "When the job ended.", "time"),
    Field("workflow_id", "uuid", "cicd.pipeline.run.id", "The workflow that the job belongs to."),
    Field("pipeline_id", "uuid", "circleci.pipeline.id", "CircleCI's pipeline, the trigger group."),
    Field("requires", "json", "circleci.job.requires", "Ids of the jobs that had to end first, sorted."),
    Field("resource_class", "dim", "circleci.resource_class", "Machine size asked for."),
    Field("executor", "dim", "circleci.executor", "Kind of machine: docker, machine, macos ..."),
    Field("parallelism", "int", "circleci.parallelism", "Machines that share the job."),
    Field("contexts", "json", "circleci.job.contexts", "Names of the contexts used, sorted."),
    Field("messages", "json", "circleci.job.messages", "Notes of CircleCI about the job."),
    Field("rerun_of", "int", "circleci.job.rerun_of", "Number of the job that this one repeats."),
    Field("credits", "int", "circleci.credits", "Credits used.", "credits"),
    Field("artifacts", "json", "circleci.job.artifacts", "Addresses of artifacts, sorted; never contents."),
    Field("tests", "int", "circleci.job.tests", "Test results of the job."),
    Field("tests_failed", "int", "circleci.job.tests_failed", "Those of them that failed."),
    Field("tests_skipped", "int", "circleci.job.tests_skipped", "Those of them that were skipped."),
    Field("artifact_count", "int", "circleci.job.artifact_count", "Artifacts in all; at most 100 addresses are kept."),
)

_STEP = (
    Field("job_id", "uuid", "cicd.pipeline.task.run.id", "The job that the step belongs to."),
    Field("index", "int", "circleci.step.index", "Position of the step in its job."),
    Field("node", "int", "circleci.step.node", "Which of the parallel machines, from 0."),
    Field("name", "dim", "circleci.step.name", "Name of the step."),
    Field("type", "dim", "circleci.step.type", "CircleCI's word for the kind of step."),
    Field("status", "dim", "circleci.status", "CircleCI's word; `headgate.status` is ours.", "status"),
    Field("started_at", "ms", "circleci.started_at", "When the step began.", "time"),
    Field("stopped_at", "ms", "circleci.stopped_at", "When the step ended.", "time"),
    Field("exit_code", "int", "circleci.step.exit_code", "Exit code of the command."),
    Field(
        "output_tail",
        "text",
        "circleci.step.output_tail",
        "End of the output, redacted and cut; off by default.",
    ),
)

_TEST_RESULT = (
    Field("job_id", "uuid", "cicd.pipeline.task.run.id", "The job that ran the test."),
    Field("suite", "dim", "test.suite.name", "Suite of the test."),
    Field("class_name", "dim", "circleci.test.class", "Class of the test."),
    Field("name", "text", "test.case.name", "Name of the test."),
    Field("file", "dim", "circleci.test.file", "File of the test."),
    Field("parameters", "text", "circleci.test.parameters", "Parameters of the test."),
    Field("source", "dim", "circleci.test.source", "Reporter that wrote the result."),
    Field("result", "dim", "test.case.result.status", "`pass`, `fail` or `skip`.", "status"),
    Field("run_ms", "int", "circleci.test.duration_ms", "Run time, milliseconds."),
    Field("message", "text", "circleci.test.message", "Failure text, cut."),
    Field("node", "int", "circleci.test.node", "Which of the parallel machines, from 0."),
    Field("stopped_at", "ms", "circleci.stopped_at", "When the job of the test ended.", "time"),
    Field("test_id", "uuid", "circleci.test.id", "The same for one test in every job, rerun and parallel machine."),
)

_USAGE = (
    Field("job_id", "uuid", "cicd.pipeline.task.run.id", "The job that the row is about."),
    Field("workflow_id", "uuid", "cicd.pipeline.run.id", "The workflow of the job."),
    Field("stopped_at", "ms", "circleci.stopped_at", "When the job ended.", "time"),
    Field("resource_class", "dim", "circleci.resource_class", "Machine size used."),
    Field("operating_system", "dim", "circleci.operating_system", "Operating system of the machine."),
    Field("run_seconds", "int", "circleci.usage.run_seconds", "Billed run time, seconds."),
    Field("cpu_median_pct", "real", "circleci.job.cpu.median_pct", "Median CPU use, percent."),
    Field("cpu_max_pct", "real", "circleci.job.cpu.max_pct", "Highest CPU use, percent."),
    Field("ram_median_pct", "real", "circleci.job.memory.median_pct", "Median memory use, percent."),
    Field("ram_max_pct", "real", "circleci.job.memory.max_pct", "Highest memory use, percent."),
    Field("compute_credits", "int", "circleci.credits.compute", "Credits for compute.", "credits"),
    Field("dlc_credits", "int", "circleci.credits.dlc", "Credits for Docker layer caching.", "credits"),
    Field("user_credits", "int", "circleci.credits.user", "Credits for seats.", "credits"),
    Field("storage_credits", "int", "circleci.credits.storage", "Credits for storage.", "credits"),
    Field("network_credits", "int", "circleci.credits.network", "Credits for network.", "credits"),
    Field("lease_credits", "int", "circleci.credits.lease", "Credits for leases.", "credits"),
    Field(
        "lease_overage_credits",
        "int",
        "circleci.credits.lease_overage",
        "Credits for lease overage.",
        "credits",
    ),
    Field("ipranges_credits", "int", "circleci.credits.ipranges", "Credits for IP ranges.", "credits"),
    Field("total_credits", "int", "circleci.credits.total", "All credits of the row.", "credits"),
    Field("status", "dim", "circleci.status", "CircleCI's word; `headgate.status` is ours.", "status"),
    Field("queued_at", "ms", "circleci.queued_at", "When the job began to wait for a machine.", "time"),
    Field("started_at", "ms", "circleci.started_at", "When the job began to run.", "time"),
    Field("number", "int", "circleci.job.number", "Number of the job in its project."),
    Field("job_name", "dim", "cicd.pipeline.task.name", "Name of the job."),
    Field("workflow_name", "dim", "cicd.pipeline.name", "Name of the workflow."),
    Field("pipeline_id", "uuid", "circleci.pipeline.id", "CircleCI's pipeline, the trigger group."),
    Field("pipeline_number", "int", "circleci.pipeline.number", "Number of the pipeline in its project."),
    Field("ref_name", "dim", "vcs.ref.head.name", "Branch that was built."),
    Field("executor", "dim", "circleci.executor", "Kind of machine: docker, machine, macos ..."),
    Field("parallelism", "int", "circleci.parallelism", "Machines that share the job."),
    Field("trigger_source", "dim", "circleci.trigger.type", "What started the pipeline, CircleCI's word."),
    Field("trigger_user", "dim", "circleci.started_by", "Id of the CircleCI user who started it.", "author"),
    Field("unregistered_user", "bool", "circleci.usage.unregistered_user", "That user has no CircleCI account."),
    Field("other", "json", None, "Every other column of the row, by its name."),
)

_PLATFORM_EVENT = (
    Field("action", "dim", "platform.action", "What happened."),
    Field("subject", "text", "platform.subject", "What it happened to."),
    Field("user", "dim", "platform.user", "Who did it, hashed where the source says so.", "author"),
    Field("plugin", "dim", "platform.plugin", "Plugin or extension it belongs to."),
    Field("occurred_at", "ms", "platform.occurred_at", "When it happened.", "time"),
    Field("value", "real", "platform.value", "Number that came with it."),
    Field("properties", "json", "platform.properties", "Further properties, a flat map."),
)

_DEPLOYMENT = (
    Field("name", "dim", "deployment.name", "What was deployed."),
    Field("environment", "dim", "deployment.environment.name", "Where to."),
    Field("status", "dim", "deployment.status", "`succeeded` or `failed`.", "status"),
    Field("revision", "text", "vcs.ref.head.revision", "Commit that was deployed."),
    Field("version", "text", "circleci.deployment.version", "Version that was deployed."),
    Field("started_at", "ms", "circleci.started_at", "When the deployment began.", "time"),
    Field("stopped_at", "ms", "circleci.stopped_at", "When the deployment ended.", "time"),
    Field("workflow_id", "uuid", "cicd.pipeline.run.id", "The workflow that deployed."),
    Field("job_id", "uuid", "cicd.pipeline.task.run.id", "The job that deployed."),
    Field("origin", "dim", "circleci.deployment.origin", "How it became known: `rule`, `marker` or `call`."),
    Field("url", "text", "circleci.deployment.url", "Where to read more about it."),
)

# CircleCI's own aggregates, as given. Key: what it is about, the window, and the UTC day on which it was asked for, or
# the interval of a series.
_INSIGHT = (
    Field(
        "subject", "dim", "circleci.insight.subject", "What was counted and who says so: `org`, `workflow`, `job` ..."
    ),
    Field("window", "dim", "circleci.insight.window", "CircleCI's reporting window, or `day`, `hour` of a series."),
    Field("workflow_name", "dim", "cicd.pipeline.name", "Name of the workflow."),
    Field("job_name", "dim", "cicd.pipeline.task.name", "Name of the job."),
    Field("ref_name", "dim", "vcs.ref.head.name", "Branch that it is about; absent: all branches."),
    Field("window_start", "ms", "circleci.insight.window_start", "Begin of what was counted.", "time"),
    Field("window_end", "ms", "circleci.insight.window_end", "End of what was counted.", "time"),
    Field(
        "delay_ms", "int", "circleci.insight.delay_ms", "Age of its window's end when it was asked for, milliseconds."
    ),
    Field("numbers", "json", None, "Name -> number; each becomes `circleci.insight.<name>`. Null stays absent."),
    Field("test_name", "text", "test.case.name", "Name of the test."),
    Field("class_name", "dim", "circleci.test.class", "Class of the test."),
    Field("file", "dim", "circleci.test.file", "File of the test."),
    Field("source", "dim", "circleci.test.source", "Reporter that wrote the results."),
)

# A test that CircleCI calls flaky. Key: project and identity of the test.
_FLAKY_TEST = (
    Field("name", "text", "test.case.name", "Name of the test."),
    Field("class_name", "dim", "circleci.test.class", "Class of the test."),
    Field("file", "dim", "circleci.test.file", "File of the test."),
    Field("source", "dim", "circleci.test.source", "Reporter that wrote the result."),
    Field("times_flaked", "int", "circleci.test.times_flaked", "How often it passed and failed on one commit."),
    Field("time_wasted_ms", "int", "circleci.test.time_wasted_ms", "Time that its reruns took, by CircleCI."),
    Field("job_name", "dim", "cicd.pipeline.task.name", "Job that it flaked in last."),
    Field("job_number", "int", "circleci.job.number", "Number of that job in its project."),
    Field("workflow_id", "uuid", "cicd.pipeline.run.id", "Workflow that it flaked in last."),
    Field("workflow_name", "dim", "cicd.pipeline.name", "Name of that workflow."),
    Field("workflow_created_at", "ms", "circleci.created_at", "When that workflow was created.", "time"),
    Field("pipeline_number", "int", "circleci.pipeline.number", "Number of its pipeline in the project."),
)

# What the audit proved about one project and hour. Key: project, what, hour.
_AUDIT = (
    Field("what", "dim", "headgate.audit.what", "`runs`: pipelines of the hour; `reruns`: runs of older pipelines."),
    Field("hour", "ms", "headgate.audit.hour", "Start of the hour.", "time"),
    Field(
        "expected",
        "int",
        "headgate.audit.expected",
        "Ended runs and jobs that the source lists, and other jobs of these runs.",
    ),
    Field("present", "int", "headgate.audit.present", "Those of them that were kept already."),
    Field("repaired", "int", "headgate.audit.repaired", "Those that were missing and are kept now."),
    Field("unrepairable", "int", "headgate.audit.unrepairable", "Those that the source itself no longer has."),
    Field("unannounced", "int", "headgate.audit.unannounced", "Ended ones whose webhook never came."),
)

FIELDS: dict[FactKind, tuple[Field, ...]] = {
    "pipeline": _PIPELINE,
    "workflow": _WORKFLOW,
    "job": _JOB,
    "step": _STEP,
    "test_result": _TEST_RESULT,
    "usage": _USAGE,
    "platform_event": _PLATFORM_EVENT,
    "deployment": _DEPLOYMENT,
    "insight": _INSIGHT,
    "flaky_test": _FLAKY_TEST,
    "audit": _AUDIT,
}

# Kinds with a state of their own, told by many inputs, that wait for one another before they leave (core.release).
RUN_KINDS: tuple[FactKind, ...] = ("workflow", "job")
# Kinds that one input tells whole: they leave as soon as it did.
LEAF_KINDS: tuple[FactKind, ...] = (
    "step",
    "test_result",
    "usage",
    "platform_event",
    "deployment",
    "insight",
    "flaky_test",
    "audit",
)
RELEASED_KINDS: tuple[FactKind, ...] = (*RUN_KINDS, *LEAF_KINDS)

# Position of each field in its kind: provenance is stored by position, so fields are only ever appended.
FIELD_INDEX: dict[FactKind, dict[str, int]] = {
    kind: {field.name: position for position, field in enumerate(fields)} for kind, fields in FIELDS.items()
}
