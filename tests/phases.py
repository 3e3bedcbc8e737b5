"""Hypothesis without the phase that traces every line, which is ten times slower."""

from hypothesis import Phase

UNTRACED = tuple(phase for phase in Phase if phase is not Phase.explain)
"""All phases but `Phase.explain`, which adds comments to failures and nothing else."""
