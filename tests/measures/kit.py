"""A measure driven as the engine drives it, for one key: partials, saved states, panes, result."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import polars as pl

from pipelinekit.engine.compile import StateColumn
from pipelinekit.engine.pane import Pane, PaneId, from_state, to_state
from pipelinekit.measures.base import Inputs, Measure
from pipelinekit.types import STRING, Type

KEY = "a"


def merged(
    measure: Measure,
    kind: Type,
    parts: Sequence[pl.Series | pl.DataFrame],
    *,
    max_values: int | None = None,
    inputs: Sequence[str] = ("x",),
    rng: random.Random | None = None,
) -> tuple[list[pl.Series], object]:
    """The saved state, a column an accumulator, and the result of a key.

    Its values came in these parts: series of `x`, or frames of inputs, id and time. With `rng` each
    part is a pane of its own, and panes are joined two by two at random.
    """
    kinds = [kind] * len(inputs)
    accumulators = measure.accumulators(kinds, max_values, STRING)
    columns = tuple(StateColumn(a.name, a) for a in accumulators)
    panes: list[Pane] = []
    for part in parts:
        if not len(part):
            continue
        if rng is not None or not panes:
            panes.append(Pane(PaneId("m", 0, 0), 1, columns))
        _merge_part(panes[-1], measure, kind, inputs, part)
    while rng is not None and len(panes) > 1:
        one = panes.pop(rng.randrange(len(panes)))
        panes[rng.randrange(len(panes))].fold(one)
    pane = panes[0] if panes else Pane(PaneId("m", 0, 0), 1, columns)
    pane._slots([KEY])  # neutral values, where nothing came
    held = {c.name: pane.state[c.name][:1] for c in columns}
    (result,) = measure.result(held, kinds).to_pylist()
    return [from_state(c.name, held[c.name], c.accumulator) for c in columns], result


def _merge_part(
    pane: Pane,
    measure: Measure,
    kind: Type,
    names: Sequence[str],
    part: pl.Series | pl.DataFrame,
) -> None:
    frame = pl.DataFrame({"x": part}) if isinstance(part, pl.Series) else part
    if "id" not in frame.columns:
        frame = frame.with_columns(id=pl.lit("i"), time=pl.lit(0, pl.Int64))
    inputs = Inputs(tuple(map(pl.col, names)), None, pl.col("time"), pl.col("id"))
    kinds = [kind] * len(names)
    aggregations = [
        aggregation.alias(c.name)
        for aggregation, c in zip(measure.partial(inputs, kinds), pane.columns, strict=True)
    ]
    partial = frame.lazy().group_by(pl.lit(KEY).alias("k")).agg(aggregations).collect()
    states = []
    for column in pane.columns:
        state = to_state(partial[column.name], column.accumulator)
        saved = from_state(column.name, state, column.accumulator)
        states.append(to_state(saved, column.accumulator))
    pane.merge([KEY], states, np.array([frame.height]), None, 0)
