"""Sets up a source's webhooks at CircleCI through API v2.

Invariant: keys go out in snake_case. The server ignores keys that it does not know, so the hyphens of CircleCI's own
document would make a webhook without a secret (docs/circleci.md). The secret is in request bodies and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.webhooks import WantedWebhook, Webhook
from headgate.plugins.config import reveal
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.reading import Json, text, texts

__all__ = ["CircleCIWebhookAdmin", "webhook_admin"]

_ALL = "/api/v2/webhook"
_ONE = "/api/v2/webhook/{id}"
_TRIES = 2  # of a creation whose outcome is not known and that is not found afterwards


class CircleCIWebhookAdmin:
    """See core.webhooks.WebhookAdmin. `key` of a scope is the project's id."""

    limit = 5  # webhooks of one project (CircleCI documentation, "Webhooks", read 2026-11)

    def __init__(self, api: Api, wanted: WantedWebhook, secret: str) -> None:
        self.wanted = wanted
        self._api = api
        self._secret = secret

    async def webhooks(self, key: str) -> Sequence[Webhook]:
        """All webhooks of a project."""
        try:
            items = await self._api.items(_ALL, params={"scope-id": key, "scope-type": "project"})
        except SourceRefused as error:
            raise _with_right(error) from error
        return [_webhook(item) for item in items]

    async def create(self, key: str) -> None:
        """Make the webhook. Where no answer tells whether it was made, the project is looked at before a second try."""
        body = {**self._properties(), "scope": {"id": key, "type": "project"}}
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._change("POST", _ALL, body)
            except SourceUnavailable:
                if any(it.url == self.wanted.url for it in await self.webhooks(key)):
                    return None
                if attempt == _TRIES:
                    raise
        return None

    async def update(self, webhook_id: str) -> None:
        """Give it every property; the secret goes along, since nobody can see which one is set."""
        await self._change("PUT", _ONE, self._properties(), webhook_id)

    async def delete(self, webhook_id: str) -> None:
        """Take it away; one that is gone already is no error."""
        try:
            await self._change("DELETE", _ONE, None, webhook_id)
        except NotFound:
            return

    async def _change(self, method: str, route: str, body: Json | None, webhook_id: str = "") -> None:
        try:
            await self._api.change(method, route, body, id=webhook_id)
        except SourceRefused as error:
            raise _with_right(error) from error

    def _properties(self) -> dict[str, Any]:
        wanted = self.wanted
        return {
            "name": wanted.name,
            "url": wanted.url,
            "events": sorted(wanted.events),
            "verify_tls": wanted.verify_tls,
            "signing_secret": self._secret,
        }


def webhook_admin(config: CircleCIConfig, api: Api) -> CircleCIWebhookAdmin | None:
    """Who looks after the webhooks; None where no URL is configured or no token to do it with."""
    webhook = config.webhook
    if not webhook.url or config.token is None:
        return None
    wanted = WantedWebhook(webhook.name, webhook.url, frozenset(webhook.events), webhook.verify_tls)
    return CircleCIWebhookAdmin(api, wanted, reveal(webhook.secrets[0]))


def _webhook(item: Json) -> Webhook:
    """One webhook as CircleCI tells it: a secret that is set is told as stars, none as empty text."""
    return Webhook(
        id=text(item.get("id")) or "",
        name=text(item.get("name")) or "",
        url=text(item.get("url")) or "",
        events=frozenset(texts(item.get("events"))),
        verify_tls=item.get("verify_tls") is not False,
        signed=text(item.get("signing_secret")) is not None,
    )


def _with_right(error: SourceRefused) -> SourceRefused:
    if error.reason != "no_access":
        return error
    fix = "use the token of an administrator of the organisation: managing webhooks needs that right"
    return SourceRefused(str(error).removesuffix(f"; {error.fix}"), reason="no_access", fix=fix)
