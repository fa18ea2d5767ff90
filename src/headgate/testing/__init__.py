"""Stand-ins for the outside world, and the suites that check plugins against it; for users' own tests too.

Never imports a source, store, sink or notifier, so that a double cannot repeat the mistake it should find.
"""
