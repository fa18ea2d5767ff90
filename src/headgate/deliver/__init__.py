"""Delivery: takes the log to every sink and the outbox to every notifier, each by itself.

Invariant: knows sinks and notifiers only as core.ports; a record is delivered, waiting, or a dead letter with its
reason.
"""

from headgate.deliver.engine import DeliveryEngine
from headgate.deliver.outbox import OutboxOptions, OutboxWorker
from headgate.deliver.settle import DeliveryEvent
from headgate.deliver.status import SignalStatus
from headgate.deliver.transport import HttpTransport, Transport
from headgate.deliver.worker import EngineOptions

__all__ = [
    "DeliveryEngine",
    "DeliveryEvent",
    "EngineOptions",
    "HttpTransport",
    "OutboxOptions",
    "OutboxWorker",
    "SignalStatus",
    "Transport",
]
