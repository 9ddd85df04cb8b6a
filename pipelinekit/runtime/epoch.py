"""The epoch of a job that starts anew: above that of every row that its tables hold."""

from __future__ import annotations

from collections.abc import Mapping

from pipelinekit.connectors.base import Sink
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of


def greatest_epoch(plan: Plan, sinks: Mapping[str, Sink]) -> int:
    """The greatest epoch in the plan's tables, 0 if they are empty. Raises Unreachable."""
    found = 0
    for name, sink in sinks.items():
        tables = [t for m in plan.metrics if name in m.sinks for t in tables_of(m)]
        found = max(found, sink.epoch(tables))
    return found
