"""Detectors, one module each: where a series of values changed for good. Pure; they know neither rules nor metrics."""
