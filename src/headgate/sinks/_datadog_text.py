"""What a record's tags and service are in Datadog. Pure."""

from __future__ import annotations

from headgate.core.record import Record
from headgate.plugins.datadog import tag
from headgate.sinks._measures import TAG_PREFIX

__all__ = ["project_of", "rule_tags", "service_of"]

_SERVICE = f"{TAG_PREFIX}service"


def rule_tags(record: Record) -> list[str]:
    """The tags that the sink's records were given by rules and options, such as `team:web`."""
    named = record.attributes.items()
    return [tag(name[len(TAG_PREFIX) :], str(value)) for name, value in named if name.startswith(TAG_PREFIX)]


def service_of(record: Record) -> str:
    """The tag `service` of the record, else its project, else its organisation."""
    return str(record.attributes.get(_SERVICE) or project_of(record))


def project_of(record: Record) -> str:
    """What the record belongs to: its project, else its organisation, else the provider."""
    return record.project or record.org or record.tenant
