"""Rules that turn metrics into alerts: loading, evaluation, routes, and the commands' logic. Never sends anything."""
