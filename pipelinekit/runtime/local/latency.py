"""How long it takes from the broker's stamp on an event to the acknowledged row that counts it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of

_PER_SLICE_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds, over the events of the last while."""

    p50: float
    p99: float
    p999: float
    greatest: float
    events: int


@dataclass(slots=True)
class Latency:
    """Follows one metric, the one whose rows leave most often, through one sink.

    A slice's events wait until the flush after them is acknowledged. Slices of more events than
    2,000 are sampled evenly.
    """

    metric: str
    table: str
    writer: str
    kept_max: int = 100_000
    _waiting: list[np.ndarray] = field(default_factory=list)
    _in_flight: deque[tuple[int, list[np.ndarray]]] = field(default_factory=deque)
    _samples: deque[np.ndarray] = field(default_factory=deque)
    _kept: int = 0

    @classmethod
    def of(cls, plan: Plan) -> Latency | None:
        """Of the metric whose rows leave most often; None without one that has a sink."""
        metrics = [m for m in plan.metrics if m.sinks]
        if not metrics:
            return None
        metric = min(metrics, key=lambda m: (m.filter is not None, m.emit_early_ms))
        return cls(metric.name, tables_of(metric)[0].name, metric.sinks[0])

    def merged(self, broker_ms: np.ndarray) -> None:
        """These events are in the panes now."""
        if len(broker_ms) > _PER_SLICE_MAX:
            broker_ms = broker_ms[:: len(broker_ms) // _PER_SLICE_MAX + 1]
        if len(broker_ms):
            self._waiting.append(broker_ms)

    def flushed(self, tickets: Mapping[str, int], tables: Sequence[str]) -> None:
        """A flush was submitted: with the metric's table in it, what waited is on its way."""
        if self.table in tables and self.writer in tickets and self._waiting:
            self._in_flight.append((tickets[self.writer], self._waiting))
            self._waiting = []

    def acknowledged(self, acknowledged: deque[tuple[int, int]]) -> None:
        """Take the writer's acknowledgements."""
        while acknowledged:
            number, at_ms = acknowledged.popleft()
            while self._in_flight and self._in_flight[0][0] <= number:
                _, stamps = self._in_flight.popleft()
                for broker_ms in stamps:
                    self._samples.append(at_ms - broker_ms)
                    self._kept += len(broker_ms)
        while self._kept > self.kept_max:
            self._kept -= len(self._samples.popleft())

    def percentiles(self) -> Percentiles | None:
        """Over what is kept; None before the first acknowledgement."""
        samples = list(self._samples)
        if not samples:
            return None
        everything = np.concatenate(samples)
        p50, p99, p999 = np.percentile(everything, (50, 99, 99.9))
        return Percentiles(p50, p99, p999, float(everything.max()), len(everything))

    def forget(self) -> None:
        """Begin anew: a benchmark drops its warm-up."""
        self._samples.clear()
        self._kept = 0
