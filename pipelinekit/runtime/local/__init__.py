"""The embedded runner: a job on one machine, exact over crashes, without a cluster."""
