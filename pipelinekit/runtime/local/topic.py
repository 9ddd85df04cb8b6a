"""The topic as it changes while a job runs: partitions that are added, messages not yet read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from pipelinekit.connectors.base import Source
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.errors import PipelinekitError


@dataclass(slots=True, eq=False)
class TopicWatch:
    """`bounds` is the topic as it was last seen: first offset and end by partition.

    `lag` is how many messages were not yet read then, None before the first look.
    """

    source: Source
    bounds: Mapping[int, tuple[int, int]]
    lag: int | None = None
    _looking: threading.Thread | None = None

    @property
    def ends(self) -> dict[int, int]:
        return {partition: end for partition, (_, end) in self.bounds.items()}

    @property
    def is_looking(self) -> bool:
        return self._looking is not None and self._looking.is_alive()

    def look(self, times: Mapping[int, PartitionTime]) -> None:
        """Look again. A broker that doesn't answer must not hold up the run: in a thread."""
        self._looking = threading.Thread(target=self._look, args=(times,), name="look", daemon=True)
        self._looking.start()

    def added(self, times: Mapping[int, PartitionTime]) -> list[int]:
        """The partitions that were seen and are not among `times`."""
        return [partition for partition in sorted(self.bounds) if partition not in times]

    def _look(self, times: Mapping[int, PartitionTime]) -> None:
        try:
            self.bounds = self.source.bounds()
        except PipelinekitError:
            return  # the readers meet it too, and say so
        ends = ((end, times.get(p)) for p, (_, end) in self.bounds.items())
        self.lag = sum(max(0, end - (t.next_offset if t else 0)) for end, t in ends)
