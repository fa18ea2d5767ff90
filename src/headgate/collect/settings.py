"""What the engine knows about how a source is to be collected. Plain data; made from the source's configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headgate.core.release import ReleasePolicy
from headgate.core.times import DAY_MS
from headgate.plugins.config import SourceConfig

__all__ = ["SourceSettings", "hurried", "settings_from"]

# Facts are kept for 400 days unless the store's settings say otherwise; collection never reaches further back.
DEFAULT_RETENTION_MS = 400 * DAY_MS
# Enough for a call to come round even while a first walk uses the whole budget; later detail comes as an amendment.
_HURRIED_WAIT_MS = 15_000


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How one source is collected. Times in milliseconds. `ask_unrun`: ask for what no webhook tells of a run.

    `initial_ms`: how far the first walk of a scope reaches; `retention_ms`: how far any walk reaches.
    """

    policy: ReleasePolicy = ReleasePolicy()  # noqa: RUF009  # frozen itself
    poll_enabled: bool = True
    poll_every_ms: int = 60_000
    initial_ms: int = DAY_MS
    retention_ms: int = DEFAULT_RETENTION_MS
    app_url: str = "https://app.circleci.com"
    ask_unrun: bool = True


def settings_from(config: SourceConfig, *, retention_ms: int = DEFAULT_RETENTION_MS) -> SourceSettings:
    """The engine's settings of a configured source. `retention_ms`: how long facts are kept."""
    return SourceSettings(
        policy=ReleasePolicy(config.profile, config.enrich_wait),
        poll_enabled=config.poll.enabled,
        poll_every_ms=config.poll.every,
        initial_ms=min(config.poll.initial, retention_ms),
        retention_ms=retention_ms,
        app_url=config.app_url.rstrip("/"),
        ask_unrun=config.poll.unrun,
    )


def hurried(settings: SourceSettings) -> SourceSettings:
    """The same for a run that ends when everything is collected: history is not waited for as live records are."""
    policy = settings.policy
    return replace(settings, policy=ReleasePolicy(policy.profile, min(policy.wait_ms, _HURRIED_WAIT_MS)))
