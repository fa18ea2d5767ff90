"""Test doubles and contract suites for Headgate and for authors of plugins.

Never imports a source, store, sink or notifier, so that a double cannot repeat the mistake it should find.
"""
