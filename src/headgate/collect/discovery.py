"""Asks a source for its scopes, and keeps what it found, so that a restart goes on from there."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.collect.intake import Intake
from headgate.collect.state import Polled
from headgate.core.discovery import MARK, DiscoverySource, Found, load_found
from headgate.core.ports import Scope
from headgate.core.storeport import Store

__all__ = ["ask_scopes", "recall_scopes"]


async def recall_scopes(polled: Polled, store: Store) -> Sequence[Scope]:
    """The scopes that were found before this start, to walk until the source says more; the source goes on from them.

    Raises what the store raises.
    """
    source = polled.source
    if not isinstance(source, DiscoverySource):
        return ()
    source.recall(await load_found(store, polled.name))
    return source.found().scopes()


async def ask_scopes(polled: Polled, store: Store, intake: Intake) -> Sequence[Scope]:
    """The scopes to walk now. Raises what the source and the store raise."""
    source = polled.source
    if not isinstance(source, DiscoverySource):
        return await source.scopes()
    scopes = await source.scopes()
    after = source.found().encode()
    # Against what is stored: what the configuration no longer wants was left out when that was recalled.
    if after != (await store.source_marks(polled.name, MARK)).get(MARK, Found().encode()):
        await intake.merge_answer(polled, (), marks={MARK: after})
    return scopes
