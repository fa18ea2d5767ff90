"""Dashboards and monitors as files for the products that records go to: asked once, written in each one's language."""
