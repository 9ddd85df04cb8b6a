"""Python's garbage collector, set for a process that holds thousands of messages at a time."""

from __future__ import annotations

import gc

# The client's message objects are tracked by the collector but form no cycles. With its defaults
# (700, 10, 10) it looks through all those of a poll again and again: a tenth of the run's CPU.
THRESHOLDS = (100_000, 20, 50)


def settle_collector() -> None:
    """Leave what is loaded by now alone, and look through the rest seldom. For a whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
