"""Stand-ins for the outside world and the suites that check plugins against it.

Invariant: nothing below this package knows a source, a sink, a notifier or the store; everything speaks to
them over the wire, as the real services do.
"""

__all__: list[str] = []
