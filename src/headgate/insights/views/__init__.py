"""What each page and endpoint shows, as frozen data: one module for each page, over the read half of a store.

Invariants: every number is a metric of the catalogue under its name there, or a plain count that its field names; sums
come from tallies, never from rows that are added up here. Times are RFC 3339 text and spans seconds: these are answers.
"""
