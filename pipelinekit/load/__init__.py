"""Generated click-streams, for trials, demos and load tests."""
