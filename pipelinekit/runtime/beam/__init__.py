"""The metrics of a source as a Beam pipeline, and the worker processes that run it."""
