"""What one looks at: pages, plots and figures of a run."""
