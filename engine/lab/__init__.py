"""Many replays and what they teach: sweeps, attribution, frontiers, comparisons."""
