"""Steps of a shard taken ahead of the runner: a thread reads on while a bundle ends.

Between two slices a runner closes a bundle, commits and comes back: 50 to 100 ms in which a source
that is behind can read on. A step is taken ahead only after a full one. Caught up, the caller takes
them itself and there is no thread: a hand-over would cost an event's way some milliseconds. Nothing
that was taken counts before `step` has given it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.runtime.reading import ShardRead, Step

# Behind, a step costs waits for other threads besides its work: in turns 10,000 messages gave
# 160, 25,000 gave 190 and 50,000 gave 210 thousand events a second.
POLL_MESSAGES_MAX = 50_000
FULL_MESSAGES = 10_000  # a step of so many has more behind it
_EMPTY_WAIT_MS = 100  # a step without messages: checkpoints wait for it
_AHEAD_MAX = 4  # steps that wait to be claimed
_STOP_LOOK_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A step, and where it leaves the shard. `lag` in messages, None before it is known."""

    step: Step
    partitions: Mapping[int, PartitionTime]
    published_ms: int
    lag: int | None
    is_done: bool

    @property
    def messages(self) -> int:
        return 0 if self.step.slice is None else self.step.slice.messages

    @property
    def is_full(self) -> bool:
        return self.messages >= FULL_MESSAGES


@dataclass(slots=True, eq=False)
class ReadAhead:
    """A shard's open read. All methods are for one thread; only `read` passes to another."""

    read: ShardRead
    _waiting: queue.Queue[Taken | BaseException] = field(
        default_factory=lambda: queue.Queue(_AHEAD_MAX)
    )
    _added: queue.SimpleQueue[Mapping[int, int]] = field(default_factory=queue.SimpleQueue)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def step(self) -> Taken:
        """The next step; waits for messages as a poll does. Raises what reading raised."""
        if self._thread is None:
            taken = self._take()
        else:
            waiting = self._waiting.get()
            if isinstance(waiting, BaseException):
                self._thread = None
                raise waiting
            taken = waiting
        if not taken.is_full or taken.is_done:
            self._thread = None  # it has ended, or never was
        elif self._thread is None:
            self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
            self._thread.start()
        return taken

    def add(self, positions: Mapping[int, int]) -> None:
        """Also read these partitions from these offsets, from the next step taken on.

        What `step` gave last may not show those yet that were added before; adding them again is
        harmless.
        """
        self._added.put(positions)

    def close(self) -> None:
        """Forget what was taken and not given, and close the reader."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.read.reader.close()

    def _run(self) -> None:
        try:
            taken = self._take()
            while self._put(taken) and taken.is_full and not taken.is_done:
                taken = self._take()
        except BaseException as error:
            self._put(error)

    def _put(self, item: Taken | BaseException) -> bool:
        """Waits for a place; False if the read was closed meanwhile."""
        while not self._stop.is_set():
            try:
                self._waiting.put(item, timeout=_STOP_LOOK_S)
                return True
            except queue.Full:
                continue
        return False

    def _take(self) -> Taken:
        while not self._added.empty():
            self.read.add(self._added.get())
        step = self.read.step(POLL_MESSAGES_MAX, _EMPTY_WAIT_MS)
        taken = Taken(
            step,
            dict(self.read.time.partitions),
            self.read.time.published_ms,
            self.read.reader.lag(),
            self.read.is_done,
        )
        self.read.rest()
        return taken
