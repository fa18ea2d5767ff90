"""Headgate collects CircleCI data, keeps it, forwards it and raises alerts."""

__version__ = "0.1.0"
