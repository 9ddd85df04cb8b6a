"""Handing a job to a runner and keeping watch over it: one file a runner."""
