"""Lists of projects that are no lists of an organisation's pipelines: Insights' names, and what the user follows.

Invariant: a list that a token may not read tells nothing; only a token that is refused altogether is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.core.errors import NotFound, SourceRefused
from headgate.core.slug import short_slug
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.reading import objects, sub, text, texts

__all__ = ["followed", "in_insights"]


async def in_insights(api: Api, org: str) -> set[str]:
    """Slugs of the projects that Insights know in an organisation.

    They are told by name, which is the end of the slug for GitHub OAuth and Bitbucket alone; elsewhere none are told.
    """
    if org.startswith("circleci/"):
        return set()
    given = await _maybe(api, "/api/v2/insights/{slug}/summary", {"reporting-window": "last-90-days"}, slug=org)
    return {f"{org}/{name}" for name in texts(sub(given).get("all_projects"))}


async def followed(api: Api) -> set[str]:
    """Slugs of the projects that the token's user follows, of every organisation."""
    rows = objects(await _maybe(api, "/api/v1.1/projects", {}))
    parts = ([text(row.get(name)) for name in ("vcs_type", "username", "reponame")] for row in rows)
    return {short_slug("/".join(map(str, three))) for three in parts if None not in three}


async def _maybe(api: Api, route: str, params: Mapping[str, str], slug: str = "") -> Any:
    try:
        return await api.get(route, params=params, patient=True, slug=slug)
    except (SourceRefused, NotFound):
        if api.refused:
            raise
        return None
