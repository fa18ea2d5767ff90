"""What rules stand on in this installation: detectors of plugins, each built once for its options, and settings."""

from __future__ import annotations

from functools import lru_cache

from headgate.alerting.spec import Ground
from headgate.alerting.view import DetectorFactory, DetectorOptions
from headgate.app.measuring import catalogue_of
from headgate.app.settings import Settings
from headgate.core.errors import ConfigError
from headgate.core.ports import BuildContext, Detector
from headgate.plugins import Registry, build_plugin

__all__ = ["detector_factory", "ground_of"]


def ground_of(registry: Registry, settings: Settings | None) -> Ground:
    """Detectors that are installed; KPIs and retention of the settings, without any the defaults."""
    names = registry.names("detector")
    if settings is None:
        return Ground(detectors=names)
    kept = settings.store.retention
    return Ground(catalogue_of(settings.kpis), names, kept.facts, kept.test_results)


def detector_factory(registry: Registry, context: BuildContext) -> DetectorFactory:
    """What builds detectors for rules; each is built once. A detector that has no such option is built without it."""

    @lru_cache(maxsize=64)
    def build(name: str, wanted: DetectorOptions) -> Detector:
        plugin = registry.find("detector", name)
        options = {key: value for key, value in wanted if key in plugin.config.model_fields}
        found = build_plugin(plugin, name, plugin.config(**options), context)
        if not isinstance(found, Detector):
            raise ConfigError(f"detector {name} does not do what a detector must")
        return found

    return build
