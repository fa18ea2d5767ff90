"""The collect engine: inbox, polling, revisits, enrichment and timed release."""

from headgate.collect.engine import Collector, SourceStatus
from headgate.collect.estimate import CallRates
from headgate.collect.settings import SourceSettings, settings_from

__all__ = ["CallRates", "Collector", "SourceSettings", "SourceStatus", "settings_from"]
