"""Scenario files: read, drawn out, checked, changed."""
