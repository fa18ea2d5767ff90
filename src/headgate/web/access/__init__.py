"""Who asks, what they may do, and what is kept about it. Invariant: whoever is not known may nothing."""

__all__: list[str] = []
