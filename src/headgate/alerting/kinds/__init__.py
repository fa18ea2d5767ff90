"""The kinds of rules: one module each, with its form (how it is written) and its judge (what it means)."""
