from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from pipelinekit.columns import polars_type
from pipelinekit.measures.histogram import Histogram
from pipelinekit.types import FLOAT, INT, Type, decimal_type
from tests.measures.kit import merged

MONEY = decimal_type(9, 2)


@pytest.mark.parametrize(
    ("kind", "bounds", "values", "bins"),
    [
        (INT, (0,), [-1, 0, 1, None], [1, 2]),
        (INT, (-(2**63), 2**63 - 1), [-(2**63), 0, 2**63 - 1], [0, 2, 1]),
        (FLOAT, (0, Decimal("0.5"), 1e3), [-0.0, 0.5, 0.49, 1e300], [0, 2, 1, 1]),
        (MONEY, (1, Decimal("2.25")), [Decimal("0.99"), Decimal("2.24"), None], [1, 1, 0]),
        (INT, (1, 2, 3), [None], [0, 0, 0, 0]),
    ],
)
def test_bound_belongs_to_the_bin_above_it(
    kind: Type, bounds: tuple, values: list, bins: list[int]
) -> None:
    measure = Histogram().with_constants([bounds])
    series = pl.Series(values, dtype=polars_type(kind))
    assert merged(measure, kind, [series])[1] == bins


@pytest.mark.parametrize(
    ("bounds", "kind", "why"),
    [
        ((Decimal("0.5"),), INT, "which is int, and 0.5 is not"),
        ((1e1,), MONEY, "and 10.0 is not"),
        ((Decimal("0.125"),), MONEY, "and 0.125 is not"),
        ((10**7,), MONEY, "and 10000000 is not"),
    ],
)
def test_bound_that_x_can_not_have(bounds: tuple, kind: Type, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Histogram().with_constants([bounds]).result_type([kind])
