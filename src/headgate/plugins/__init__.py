"""Finding and building plugins; field types that their configurations share."""

from headgate.plugins.config import Duration, PluginConfig, Secret, SourceConfig, duration_field, reveal
from headgate.plugins.registry import BrokenPlugin, Registry, build_plugin, load_plugins

__all__ = [
    "BrokenPlugin",
    "Duration",
    "PluginConfig",
    "Registry",
    "Secret",
    "SourceConfig",
    "build_plugin",
    "duration_field",
    "load_plugins",
    "reveal",
]
