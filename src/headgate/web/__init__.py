"""What Headgate serves over HTTP: the webhook receiver, health, metrics, the JSON API and the page.

Knows ports only; `headgate.app` gives it a store, policies and operations. Never imports a source or a sink.
"""
