"""The seam through which a signal judges age by more than when a record occurred, which is all that `Limits` knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from headgate.core.ports import LogEntry

__all__ = ["Judging"]


@runtime_checkable
class Judging(Protocol):
    """What a signal may be beside an `HttpSignal` or a `CallSignal`."""

    def judge(self, batch: Sequence[LogEntry], now_ms: int) -> Mapping[int, Literal["too_old", "later"]]:
        """What of a batch cannot go in it, by index; asked before the batch is encoded, and before it is sent again.

        `too_old`: skipped for good. `later`: asked about again when the others of its order key in the batch are
        settled, so there must be one, and it may overtake. Called in the event loop: two milliseconds are long.
        """
        ...
