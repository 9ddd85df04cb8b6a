"""A test with time on a Beam runner: the rows that its slices end in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.engine.ingest import Slice
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.outcome import Row

if TYPE_CHECKING:
    from pipelinekit.runtime.beam.script import RunPipeline


def rows_through(
    plan: Plan, run: RunPipeline, slices: Sequence[tuple[Slice, int]]
) -> Sequence[Row]:
    """The newest version of each row, of every grain."""
    import polars as pl

    from pipelinekit.runtime.beam.script import play

    sink = play(plan, slices, run)
    return [
        Row(table.grain, values)
        for metric in plan.metrics
        for table in tables_of(metric)
        for values in pl.DataFrame(pl.from_arrow(sink.read_back(table.name))).iter_rows(named=True)
    ]
