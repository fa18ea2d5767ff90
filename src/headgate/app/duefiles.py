"""Every file that is due by the configuration: scheduled exports and reports."""

from __future__ import annotations

from headgate.app.chores import Chore
from headgate.app.exportjobs import export_chores
from headgate.app.operations import StoreOperations
from headgate.app.reportjobs import report_chores
from headgate.app.settings import Configuration
from headgate.core.storeport import Store
from headgate.insights.tables import Material

__all__ = ["due_files"]


def due_files(configuration: Configuration, store: Store, operations: StoreOperations) -> list[Chore]:
    """As they are configured, over this store."""
    settings, base = configuration.settings, configuration.base
    exports = export_chores(settings.exports, base, lambda: Material(operations.lens(), operations))
    return [*exports, *report_chores(settings.reports, base, store, operations.lens)]
