"""Detectors as rules name them: built from plugins once for each name and set of options."""

from __future__ import annotations

from functools import lru_cache

from headgate.alerting.view import DetectorFactory, DetectorOptions
from headgate.core.errors import ConfigError
from headgate.core.ports import BuildContext, Detector
from headgate.plugins import Registry, build_plugin

__all__ = ["detector_factory", "detector_names"]


def detector_names(registry: Registry) -> tuple[str, ...]:
    """Detectors that rules can name."""
    return registry.names("detector")


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
