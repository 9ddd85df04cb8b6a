"""What the graph is parameterised by: plain data that travels to the workers with the DoFns."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelinekit.engine.placing import Bounds
from pipelinekit.plan.model import MetricPlan, Plan
from pipelinekit.runtime.floors import MetricState

TICK_MS = 50
_PACE_MAX_MS = 100  # a slice that waits for messages keeps a checkpoint waiting


@dataclass(frozen=True, slots=True)
class BeamJob:
    """A plan, and what was decided when the job was deployed.

    `positions` (partition → offset) is where a job without a past begins; `metrics` say from which
    window on each metric and measure counts. `shards` and `buckets` are part of the state: a
    savepoint can't be resumed with others.
    """

    plan: Plan
    positions: Mapping[int, int]
    shards: int = 1
    buckets: int = 2
    epoch: int = 1
    stop_at: Mapping[int, int] | None = None
    metrics: Mapping[str, MetricState] = field(default_factory=dict)
    behind_ms: int = 500  # how long a slice may be when behind
    run: str = field(default_factory=lambda: secrets.token_hex(8))  # names this submission

    @property
    def is_bounded(self) -> bool:
        """Whether it ends: then rows leave as windows close, and none before.

        The direct runner never waits for a real-time timer, and Flink fires none after the end.
        """
        return self.stop_at is not None

    @property
    def early_ms(self) -> int:
        """The least `emit.early` of its metrics."""
        return min(m.emit_early_ms for m in self.plan.metrics)

    @property
    def pace_ms(self) -> int:
        """How far apart slices are when caught up: as far as flushes, so that none waits."""
        return min(_PACE_MAX_MS, self.early_ms)

    def bounds(self, metric: MetricPlan) -> Bounds:
        state = self.metrics.get(metric.id)
        return Bounds() if state is None else state.bounds

    def measure_floors(self, metric: MetricPlan) -> Mapping[str, int]:
        state = self.metrics.get(metric.id)
        return {} if state is None else state.measure_floors
