"""CircleCI, cloud and Server: webhooks, API v2 and API v1.1."""

from headgate.core.ports import BuildContext, Plugin
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.source import CircleCISource

__all__ = ["PLUGINS", "CircleCIConfig", "CircleCISource"]


def _build(name: str, config: CircleCIConfig, context: BuildContext) -> CircleCISource:
    return CircleCISource(name, config, context)


PLUGINS = (Plugin(kind="source", name="circleci", config=CircleCIConfig, build=_build),)
