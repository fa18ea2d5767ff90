"""Joins everything: reads settings, builds adapters and engines, starts and stops them, answers operations.

The only package that imports sources, sinks, notifiers, store and engines together.
"""
