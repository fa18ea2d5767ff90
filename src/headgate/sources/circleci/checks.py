"""What `headgate check` asks of a CircleCI source: token, organisations, projects, webhooks."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.errors import NotFound, SourceError, SourceRefused
from headgate.core.ports import CheckResult
from headgate.core.slug import short_slug
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.reading import objects, text

__all__ = ["run_checks"]

# Somebody waits for the answer, and asks again.
_ATTEMPTS = 2


async def run_checks(name: str, config: CircleCIConfig, api: Api) -> list[CheckResult]:
    """One result per thing that can be wrong; a dead token ends the list, since nothing else can be asked."""
    results = [_webhooks(name, config), *_idle(name, config)]
    if config.token is None:
        return results
    token, _ = await _ask(f"source {name} token", api, "/api/v2/me")
    results.append(token)
    if not token.ok:
        return results
    member, orgs = await _ask(f"source {name} collaborations", api, "/api/v2/me/collaborations")
    if not member.ok:
        return [*results, member]
    slugs = {short_slug(slug) for org in objects(orgs) if (slug := text(org.get("slug")))}
    results += [await _org(name, org, slugs, api) for org in config.orgs]
    for slug in config.explicit_projects:
        found, _ = await _ask(f"source {name} project {slug}", api, "/api/v2/project/{slug}", slug)
        results.append(found)
    return results


def _webhooks(name: str, config: CircleCIConfig) -> CheckResult:
    label = f"source {name} webhooks"
    if config.webhook.secrets:
        return CheckResult(label, ok=True, reason="ok")
    if config.allow_unsigned:
        return CheckResult(label, ok=True, reason="unsigned_allowed")
    # No secret is a choice (polling alone), so not a failure; the reason says that webhooks are off.
    return CheckResult(label, ok=True, reason="webhooks_off")


def _idle(name: str, config: CircleCIConfig) -> list[CheckResult]:
    """A source that polls nothing may still live on webhooks; one without those collects nothing, ever."""
    fix = config.idle()
    if not fix:
        return []
    if config.takes_webhooks:
        return [CheckResult(f"source {name} scope", ok=True, reason="polls_nothing", fix=fix)]
    return [CheckResult(f"source {name} scope", ok=False, reason="collects_nothing", fix=fix)]


async def _org(name: str, org: str, slugs: set[str], api: Api) -> CheckResult:
    """Membership and rights: a member whom single sign-on or a role keeps out is refused only by the pipelines."""
    label = f"source {name} organisation {org}"
    if org in slugs:
        found, _ = await _ask(label, api, "/api/v2/pipeline", params={"org-slug": org})
        return found
    return CheckResult(
        label,
        ok=False,
        reason="no_access",
        fix=f"the token's user is no member of {org}; known organisations: {', '.join(sorted(slugs)) or 'none'}",
    )


async def _ask(
    label: str, api: Api, route: str, slug: str = "", params: Mapping[str, str] | None = None
) -> tuple[CheckResult, object]:
    try:
        answer = await api.get(route, params=params, attempts=_ATTEMPTS, slug=slug)
    except SourceRefused as error:
        return CheckResult(label, ok=False, reason=error.reason, fix=error.fix), None
    except NotFound as error:
        fix = f"check that it exists and that the token's user may see it: {error}"
        return CheckResult(label, ok=False, reason="no_access", fix=fix), None
    except SourceError as error:
        fix = f"is base_url right and reachable from here? {error}"
        return CheckResult(label, ok=False, reason="unreachable", fix=fix), None
    return CheckResult(label, ok=True, reason="ok"), answer
