"""From a record to spans and to a log record, in OpenTelemetry's names. Pure.

A workflow is a trace: its root span has kind SERVER, its jobs are INTERNAL spans under it, a job's wait for a machine
and its steps are spans side by side under the job. A job's span begins when the job began to wait, so that none of its
children begins before it. Invariant: spans are functions of their record alone, and say who their parent is without
having seen it, so a trace comes together at the far side in whatever order its records arrive.
Names: OpenTelemetry semantic conventions `cicd.*` and `vcs.*` (release candidate, August 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from headgate import __version__
from headgate.core.record import Attribute, Record
from headgate.core.slug import long_slug
from headgate.core.times import parse_ms
from headgate.sinks._measures import ERRORS, RESULTS, TAG_PREFIX
from headgate.sinks._otlp_model import INTERNAL, NS_PER_MS, SERVER, LogRecord, Resource, Span
from headgate.sinks._trace_ids import span_id, trace_id

__all__ = ["SPAN_KINDS", "log_record", "resource_of", "run_attributes", "series_resource", "spans", "trace_context"]

SPAN_KINDS = frozenset({"workflow", "job", "step"})

_RUN_ID = "cicd.pipeline.run.id"
_TASK_ID = "cicd.pipeline.task.run.id"
_URL = "vcs.repository.url.full"
_OWNER, _REPOSITORY, _PROVIDER = "vcs.owner.name", "vcs.repository.name", "vcs.provider.name"
# CircleCI only runs: there is no other action to tell from it.
_ACTION = "RUN"
_RESULT_NAMES = {"workflow": "cicd.pipeline.result", "job": "cicd.pipeline.task.run.result"}
_HOSTS = {"github.com": "github", "bitbucket.org": "bitbucket", "gitlab.com": "gitlab"}
_SLUGS = frozenset({"github", "bitbucket"})
# Enum SeverityNumber, by what went how.
_INFO, _WARN, _ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")
_SEVERITIES = {
    **dict.fromkeys(("failure", "error", "timeout", "fail", "failed", "firing"), _ERROR),
    **dict.fromkeys(("canceled", "blocked", "unknown"), _WARN),
}
_OUTCOMES = ("headgate.status", "test.case.result.status", "deployment.status", "headgate.alert.state")
# What a line of text is about, by kind; else the workflow.
_SUBJECTS = {
    "job": ("cicd.pipeline.task.name",),
    "step": ("circleci.step.name",),
    "test_result": ("test.case.name",),
    "flaky_test": ("test.case.name",),
    "deployment": ("deployment.name",),
    "platform_event": ("platform.action",),
    "alert": ("headgate.alert.rule",),
}


def series_resource(record: Record) -> Resource:
    """The resource of what is measured: steady for a project, whatever else its records know."""
    service = record.attributes.get(f"{TAG_PREFIX}service")
    return _resource(record.project or "", record.org or "", service if isinstance(service, str) else "", "")


def resource_of(record: Record) -> Resource:
    """The resource of spans and log records: the project as a service, its repository, and who tells."""
    attributes = record.attributes
    service, url = attributes.get(f"{TAG_PREFIX}service"), attributes.get(_URL)
    return _resource(
        record.project or "",
        record.org or "",
        service if isinstance(service, str) else "",
        url if isinstance(url, str) else "",
    )


@lru_cache(maxsize=4096)
def _resource(project: str, org: str, service: str, url: str) -> Resource:
    out = {
        "service.name": service or project or org or "circleci",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "headgate",
        "telemetry.sdk.version": __version__,
    }
    if org:
        out["service.namespace"] = org
    provider, _, path = long_slug(project).partition("/")
    if url:
        parts = urlsplit(url)
        provider, path = _HOSTS.get(parts.hostname or "", ""), parts.path.strip("/")
        out[_URL] = url
    elif provider not in _SLUGS:  # the other slugs are made of ids
        provider, path = "", ""
    owner, _, name = path.rpartition("/")
    out |= {key: text for key, text in ((_OWNER, owner), (_REPOSITORY, name), (_PROVIDER, provider)) if text}
    return tuple(sorted(out.items()))


def run_attributes(record: Record) -> dict[str, Attribute]:
    """The record's attributes in OpenTelemetry's words, without what its resource says; tags under their own names."""
    out: dict[str, Attribute] = {"headgate.record_id": record.id}
    tags: dict[str, Attribute] = {}
    for name, value in record.attributes.items():
        if name.startswith(TAG_PREFIX):
            tags[name[len(TAG_PREFIX) :]] = value
        elif name != _URL:
            out[name] = value
    status = record.attributes.get("headgate.status")
    result_name = _RESULT_NAMES.get(record.kind)
    if result_name and status in RESULTS:
        out[result_name] = RESULTS[str(status)]
    if status in ERRORS:
        out["error.type"] = status
    return {**tags, **out} if tags else out


def trace_context(record: Record) -> tuple[bytes, bytes]:
    """Trace and span that a record is about; both empty where it is about no run."""
    run, task = _text(record.attributes, _RUN_ID), _text(record.attributes, _TASK_ID)
    if not (run or task):
        return b"", b""
    return trace_id(run or task), _own_span(record, run, task)


def _own_span(record: Record, run: str, task: str) -> bytes:
    if record.kind == "step":
        return _step_span(record.attributes, task)
    return span_id("job", task) if task and record.kind != "workflow" else span_id("workflow", run)


def _step_span(attributes: Mapping[str, Attribute], task: str) -> bytes:
    node, index = attributes.get("circleci.step.node", 0), attributes.get("circleci.step.index", 0)
    return span_id("step", task, str(node), str(index))


def spans(record: Record) -> list[Span]:
    """The spans of a workflow, job or step; a job that waited has two. Empty for a record without an id of its own.

    A job without a workflow is the root of its own trace.
    """
    attributes = record.attributes
    run, task = _text(attributes, _RUN_ID), _text(attributes, _TASK_ID)
    if record.kind == "workflow":
        return [_root(record, run)] if run else []
    if not task:
        return []
    if record.kind == "step":
        name = _text(attributes, "circleci.step.name") or "step"
        own, parent = _step_span(attributes, task), span_id("job", task)
        return [_span(record, (trace_id(run or task), own, parent), name)]
    return _job(record, run, task)


def _root(record: Record, run: str) -> Span:
    attributes = run_attributes(record)
    attributes["cicd.pipeline.action.name"] = _ACTION
    again = _text(attributes, "circleci.rerun_of")
    name = f"{_ACTION} {_text(attributes, 'cicd.pipeline.name') or 'workflow'}"
    link = (trace_id(again), span_id("workflow", again)) if again else None
    created = _ms(attributes, "circleci.created_at")
    root = _span(record, (trace_id(run), span_id("workflow", run), b""), name, start_ms=created)
    return root._replace(kind=SERVER, attributes=attributes, link=link)


def _job(record: Record, run: str, task: str) -> list[Span]:
    attributes = record.attributes
    trace, own = trace_id(run or task), span_id("job", task)
    queued, started = _ms(attributes, "circleci.queued_at"), _ms(attributes, "circleci.started_at")
    name = _text(attributes, "cicd.pipeline.task.name") or "job"
    parent = span_id("workflow", run) if run else b""
    made = [_span(record, (trace, own, parent), name, start_ms=queued)]
    if queued is not None and started is not None and queued < started:
        told: dict[str, Attribute] = {
            key: value for key, value in attributes.items() if key in (_RUN_ID, _TASK_ID, "circleci.resource_class")
        }
        told["cicd.pipeline.task.run.queue.duration"] = (started - queued) / 1000
        queue = Span(
            trace, span_id("queue", task), own, "queue", INTERNAL, queued * NS_PER_MS, started * NS_PER_MS, told
        )
        made.append(queue)
    return made


def _span(record: Record, ids: tuple[bytes, bytes, bytes], name: str, *, start_ms: int | None = None) -> Span:
    """A span up to the record's end; it begins at `start_ms`, else when the thing started, else at its end.

    `ids`: of its trace, its own, of its parent.
    """
    end = _ms(record.attributes, "circleci.stopped_at") or parse_ms(record.occurred_at) or 0
    start = start_ms if start_ms is not None else _ms(record.attributes, "circleci.started_at")
    start = end if start is None else min(start, end)
    told = run_attributes(record)
    error = _text(record.attributes, "circleci.status") if "error.type" in told else None
    return Span(*ids, name, INTERNAL, start * NS_PER_MS, end * NS_PER_MS, told, None, error)


def log_record(record: Record) -> LogRecord:
    """The log record of any record: a line for people, everything else as attributes."""
    outcome = next((text for name in _OUTCOMES if (text := _text(record.attributes, name))), "")
    severity, word = _SEVERITIES.get(outcome, _INFO)
    names = _SUBJECTS.get(record.kind, ("cicd.pipeline.name",))
    subject = next((text for name in names if (text := _text(record.attributes, name))), "")
    trace, own = trace_context(record)
    attributes = run_attributes(record)
    attributes |= {"headgate.kind": record.kind, "headgate.sources": record.sources, "headgate.tenant": record.tenant}
    if record.project:
        attributes["circleci.project"] = record.project
    line = " ".join(filter(None, (record.kind, subject)))
    return LogRecord(
        (parse_ms(record.occurred_at) or 0) * NS_PER_MS,
        (parse_ms(record.observed_at) or 0) * NS_PER_MS,
        severity,
        word,
        f"{line}: {outcome}" if outcome else line,
        f"circleci.{record.kind}",
        attributes,
        trace,
        own,
    )


def _text(attributes: Mapping[str, Attribute], name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""


def _ms(attributes: Mapping[str, Attribute], name: str) -> int | None:
    return parse_ms(attributes.get(name))
