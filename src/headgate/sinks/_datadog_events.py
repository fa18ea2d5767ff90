"""From an alert or deployment to a Datadog event, and from a deployment to a DORA deployment. Pure.

Events go to v1, which asks for the API key alone; v2 wants an application key and knows no deployments. Limits:
docs.datadoghq.com "Events" and "DORA Metrics" API, read November 2026. Invariant: a text that is cut says so.
"""

from __future__ import annotations

import re

from headgate.core.record import Attribute, Record
from headgate.core.times import parse_ms
from headgate.plugins.datadog import cut, tags_of
from headgate.sinks._datadog_text import project_of, rule_tags, service_of
from headgate.sinks._measures import TAG_PREFIX

__all__ = ["dora_deployment", "event"]

_MOST_TITLE, _MOST_TEXT, _MOST_KEY, _MOST_TAGS = 500, 4_000, 100, 100
_LABEL = "headgate.alert.label."
_SHA = re.compile(r"[0-9a-f]{40}")
_ALERT_TYPES = {"critical": "error", "error": "error", "high": "error", "info": "info"}


def event(record: Record, env: str, tags: tuple[str, ...]) -> dict[str, object]:
    """The body of one v1 event. `tags`: of the operator, normalized already."""
    title, text, key, kind, named = _alert(record) if record.kind == "alert" else _deployment(record)
    all_tags = [
        *tags_of((("env", env), ("record_id", record.id), ("service", service_of(record)), *named)),
        *tags,
        *rule_tags(record),
    ]
    return {
        "title": cut(title, _MOST_TITLE),
        "text": cut(text or title, _MOST_TEXT),
        "date_happened": (parse_ms(record.occurred_at) or 0) // 1000,
        "alert_type": kind,
        "priority": "normal",
        "source_type_name": "circleci",
        "aggregation_key": cut(key, _MOST_KEY),
        "tags": list(dict.fromkeys(all_tags))[:_MOST_TAGS],
    }


_Parts = tuple[str, str, str, str, list[tuple[str, object]]]


def _alert(record: Record) -> _Parts:
    attributes = record.attributes
    rule, state = str(attributes.get("headgate.alert.rule", "alert")), attributes.get("headgate.alert.state", "firing")
    labels = {name.removeprefix(_LABEL): value for name, value in attributes.items() if name.startswith(_LABEL)}
    kind = "success" if state == "resolved" else _ALERT_TYPES.get(str(labels.get("severity")), "warning")
    lines = [str(attributes.get("headgate.alert.summary", "")), _facts(attributes)]
    key = str(attributes.get("headgate.alert.fingerprint", rule))
    named: list[tuple[str, object]] = [("kind", "alert"), ("rule", rule), ("state", state), *labels.items()]
    return f"{rule} is {state}", "\n".join(line for line in lines if line), key, kind, named


def _facts(attributes: dict[str, Attribute]) -> str:
    """Value, baseline, sample size and first bad run, as far as they are known."""
    names = ("value", "baseline", "n", "reason", "first_bad", "started_at")
    found = ((name, attributes.get(f"headgate.alert.{name}")) for name in names)
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in found if value is not None)


def _deployment(record: Record) -> _Parts:
    attributes = record.attributes
    name = str(attributes.get("deployment.name") or project_of(record))
    environment = str(attributes.get("deployment.environment.name", ""))
    status = str(attributes.get("deployment.status", ""))
    where = f" to {environment}" if environment else ""
    title = f"Deployment of {name}{where} {status}".rstrip()
    shown = {
        "version": attributes.get("circleci.deployment.version"),
        "commit": attributes.get("vcs.ref.head.revision"),
        "page": attributes.get("circleci.deployment.url") or attributes.get("cicd.pipeline.run.url.full"),
    }
    text = "\n".join(f"{label}: {value}" for label, value in shown.items() if value)
    kind = {"succeeded": "success", "failed": "error"}.get(status, "info")
    named: list[tuple[str, object]] = [
        ("kind", "deployment"),
        ("project", record.project),
        ("environment", environment),
        ("outcome", status),
    ]
    return title, text, f"deployment {name} {environment}".rstrip(), kind, named


def dora_deployment(record: Record, env: str, tags: tuple[str, ...]) -> dict[str, object] | None:
    """The body of one DORA deployment, None for one that did not succeed: it changed nothing for its users.

    Its id is the record's, so a resend is known. `git` is whole or absent. `env` stands in where the deployment has no
    environment of its own.
    """
    attributes = record.attributes
    if attributes.get("deployment.status", "succeeded") != "succeeded":
        return None
    finished = parse_ms(attributes.get("circleci.stopped_at")) or parse_ms(record.occurred_at) or 0
    started = parse_ms(attributes.get("circleci.started_at"))
    out: dict[str, object] = {
        "id": record.id,
        "service": str(
            attributes.get(f"{TAG_PREFIX}service") or attributes.get("deployment.name") or service_of(record)
        ),
        "env": str(attributes.get("deployment.environment.name") or env),
        "started_at": min(finished if started is None else started, finished),
        "finished_at": finished,
        "custom_tags": list(dict.fromkeys((*tags_of((("project", record.project),)), *tags, *rule_tags(record))))[
            :_MOST_TAGS
        ],
    }
    sha, url = str(attributes.get("vcs.ref.head.revision", "")), attributes.get("vcs.repository.url.full")
    if _SHA.fullmatch(sha) and url:
        out["git"] = {"commit_sha": sha, "repository_url": url}
    for field, name in (("version", "circleci.deployment.version"), ("team", f"{TAG_PREFIX}team")):
        if attributes.get(name):
            out[field] = str(attributes[name])
    return {"data": {"attributes": out}}
