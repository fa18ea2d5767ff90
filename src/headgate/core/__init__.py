"""The pure heart: records, merging, ports, errors, verdicts. It does no I/O and imports no client."""
