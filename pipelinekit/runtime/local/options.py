"""How a job runs on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StartFrom(Enum):
    EARLIEST = "earliest"
    LATEST = "latest"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may be said of a run beside its plan. Times in ms."""

    start_from: StartFrom = StartFrom.STORED
    until_end: bool = False
    checkpoint_every_ms: int = 5_000
    shards: int | None = None  # 1, or those of the stored state
    buckets: int = 1
    look_every_ms: int = 2_000  # for new partitions, and the lag
    slices_queued_max: int = 16
    # A sink that has taken nothing for so long stops the reading: rows wait in state.
    stall_ms: int = 2_000
