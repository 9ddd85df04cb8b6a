"""The alignment of barriers: where every shard's messages are cut for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.runtime.local.shard import Barrier, Message


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """All shards stand at their barrier; `beyond` are the messages that had come after one."""

    times: Mapping[int, PartitionTime]
    published_ms: Mapping[int, int]  # by shard
    beyond: Sequence[Message]


@dataclass(slots=True, eq=False)
class Barriers:
    """Of a number of shards those that have reached the barrier of the checkpoint in the making."""

    shards: int
    _reached: dict[int, Barrier] = field(default_factory=dict)
    _beyond: dict[int, list[Message]] = field(default_factory=dict)

    @property
    def are_aligning(self) -> bool:
        """Whether some shards stand at their barrier, and others don't yet."""
        return bool(self._reached)

    def parks(self, message: Message) -> bool:
        """Whether the message lies beyond its shard's barrier; then it is kept for the cut."""
        if message.shard not in self._reached:
            return False
        self._beyond[message.shard].append(message)
        return True

    def reach(self, barrier: Barrier) -> Cut | None:
        """Note the barrier; the cut, if it was the last one missing."""
        self._reached[barrier.shard] = barrier
        self._beyond[barrier.shard] = []
        if len(self._reached) < self.shards:
            return None
        reached, self._reached = self._reached, {}
        beyond, self._beyond = self._beyond, {}
        return Cut(
            {p: t for b in reached.values() for p, t in b.partitions.items()},
            {shard: b.published_ms for shard, b in reached.items()},
            [message for messages in beyond.values() for message in messages],
        )
