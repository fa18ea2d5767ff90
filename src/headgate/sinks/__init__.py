"""Sinks: one module per backend, each with `PLUGINS`. A sink never retries, sleeps, batches or logs."""
