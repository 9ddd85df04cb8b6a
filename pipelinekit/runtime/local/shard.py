"""A shard: one thread that reads its partitions, ingests, and hands on what came out.

Everything travels in one queue, the watermark as it stood before a slice with the slice, so that
no watermark overtakes data. The queue's bound is the back-pressure: a full one stops reading.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.engine.lateness import PartitionTime, ShardTime
from pipelinekit.runtime.reading import ShardRead, Step

# One step: large enough to make a group_by cheap per event when behind, and soon over when not.
POLL_MESSAGES_MAX = 10_000
POLL_WAIT_MS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What one step of a shard gave."""

    shard: int
    step: Step


@dataclass(frozen=True, slots=True)
class Barrier:
    """Everything before it belongs to checkpoint `number`, with the shard's time as given."""

    shard: int
    number: int
    partitions: Mapping[int, PartitionTime]
    published_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The shard will send nothing more; `error` says why if it failed."""

    shard: int
    error: BaseException | None


Message = Output | Barrier | Ended


@dataclass(slots=True, eq=False)
class Shard:
    """Call `start`, then read `out`. `request_barrier`, `add` and `stop` from other threads."""

    number: int
    read: ShardRead
    out: queue.Queue[Message]
    _barrier: int = 0
    _sent_barrier: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _added: queue.SimpleQueue[Mapping[int, int]] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None

    @property
    def time(self) -> ShardTime:
        return self.read.time

    @property
    def trouble(self) -> str | None:
        return self.read.trouble

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"shard-{self.number}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def request_barrier(self, number: int) -> None:
        self._barrier = number

    def add(self, positions: Mapping[int, int]) -> None:
        """Also read these partitions, from these offsets."""
        self._added.put(positions)

    def stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stop.is_set() and not self.read.is_done:
                self._step()
            self._send_barrier()
        except BaseException as raised:
            error = raised
        finally:
            self.read.reader.close()
        self.out.put(Ended(self.number, error))

    def _step(self) -> None:
        while not self._added.empty():
            self.read.add(self._added.get())
        step = self.read.step(POLL_MESSAGES_MAX, POLL_WAIT_MS)
        self.out.put(Output(self.number, step))
        self.read.rest()
        self._send_barrier()

    def _send_barrier(self) -> None:
        wanted = self._barrier
        if wanted > self._sent_barrier:
            self._sent_barrier = wanted
            state = dict(self.time.partitions)
            self.out.put(Barrier(self.number, wanted, state, self.time.published_ms))


def shard_partitions(partitions: Sequence[int], shards: int) -> list[list[int]]:
    """Which partitions each shard reads: p mod shards."""
    return [[p for p in partitions if p % shards == shard] for shard in range(shards)]
