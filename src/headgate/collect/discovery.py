"""Asks a source for its scopes, and keeps what it found, so that a restart goes on from there."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.collect.intake import Intake
from headgate.collect.state import Polled
from headgate.core.discovery import MARK, DiscoverySource, load_found
from headgate.core.ports import Scope
from headgate.core.storeport import Store

__all__ = ["ask_scopes"]


async def ask_scopes(polled: Polled, store: Store, intake: Intake) -> Sequence[Scope]:
    """The scopes to walk now. Raises what the source and the store raise."""
    source = polled.source
    if not isinstance(source, DiscoverySource):
        return await source.scopes()
    if not polled.discovered:
        source.recall(await load_found(store, polled.name))
    before = source.found().encode()
    scopes = await source.scopes()
    after = source.found().encode()
    if after != before:
        await intake.merge_answer(polled, (), marks={MARK: after})
    return scopes
