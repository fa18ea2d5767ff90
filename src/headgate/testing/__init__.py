<<<<<<< HEAD
"""Test doubles and contract suites for Headgate and for authors of plugins.

Never imports a source, store, sink or notifier, so that a double cannot repeat the mistake it should find.
"""
=======
"""Stand-ins for the outside world and the suites that check plugins against it.

Invariant: nothing below this package knows a source, a sink, a notifier or the store; everything speaks to
them over the wire, as the real services do.
"""

__all__: list[str] = []
>>>>>>> twin
