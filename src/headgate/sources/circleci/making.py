"""What a CircleCI source is made of, out of its configuration: the API client, and what is kept of persons."""

from __future__ import annotations

from headgate.core.ports import BuildContext
from headgate.plugins.config import reveal
from headgate.sources.circleci.api import Api, ApiOptions
from headgate.sources.circleci.budget import shared_budget
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.vcs import Privacy

__all__ = ["api_of", "privacy_of"]


def privacy_of(config: CircleCIConfig) -> Privacy:
    """How personal data is handled."""
    personal = config.personal
    return Privacy(
        email=personal.email,
        login=personal.login,
        name=personal.name,
        commit_subject=personal.commit_subject,
        key=reveal(personal.hash_key).encode(),
    )


def api_of(name: str, config: CircleCIConfig, context: BuildContext) -> Api:
    """The client, with the budget that all users of this token and host share."""
    token, budget = reveal(config.token), config.budget
    options = ApiOptions(
        base_url=config.base_url,
        user_agent=context.user_agent,
        timeout_seconds=config.timeout / 1000,
        ca_file=config.ca_file,
        proxy=reveal(config.proxy) or None,
        http2=config.http2,
        secrets=tuple(reveal(secret) for secret in config.webhook.secrets),
    )
    shared = shared_budget(token, config.base_url, budget.per_second, budget.burst, clock=context.clock)
    api = Api(name, token, options, budget=shared, clock=context.clock, metrics=context.metrics)
    shared.join(api, budget.per_second, budget.burst)
    api.probe_slug = next(iter(config.explicit_projects), "")
    return api
