"""Results that are null because something was too much, told from those of no values."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from pipelinekit.measures.base import OVER
from pipelinekit.measures.count_distinct import CountDistinct
from pipelinekit.measures.most_frequent import MostFrequent
from pipelinekit.measures.sum import Sum
from pipelinekit.types import FLOAT, INT, STRING, decimal_type

HALF = 5 * 10**37
WIDE = decimal_type(38, 0)


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def limbs(*totals: int | None) -> dict[str, np.ndarray]:
    """The state of exact sums of wide decimals; None: of no values."""
    state = {f"l{i}": [(t or 0) >> 32 * i & 0xFFFFFFFF for t in totals] for i in range(3)}
    state["l3"] = [(t or 0) >> 96 for t in totals]
    state["n"] = [0 if t is None else 2 for t in totals]
    return {name: np.array(values, dtype=np.int64) for name, values in state.items()}


@pytest.mark.parametrize(
    ("measure", "kind", "state", "results", "overflowed"),
    [
        (CountDistinct(), STRING, {"values": objects({"a"}, None, OVER)}, [1, 0, None],
         [False, False, True]),
        (MostFrequent(1), INT, {"counts": objects({}, OVER)}, [[], None], [False, True]),
        (Sum(), WIDE, limbs(HALF, None, 2 * HALF, -2 * HALF),
         [Decimal(HALF), None, None, None], [False, False, True, True]),
        (Sum(), FLOAT, {"total": np.array([1.0, 0.0, np.inf]), "n": np.array([1, 0, 2])},
         [1.0, None, None], [False, False, True]),
    ],
    ids=["count_distinct", "most_frequent", "sum of decimals", "sum of floats"],
)  # fmt: skip
def test_too_much_is_told_from_nothing(measure, kind, state, results, overflowed) -> None:
    result = measure.result(state, [kind])
    assert result.to_pylist() == results
    assert measure.overflowed(state, result).to_pylist() == overflowed
