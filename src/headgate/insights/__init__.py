"""Metrics over facts: what each means, and its value per group over a window. Reads rows, never a source or a sink."""
