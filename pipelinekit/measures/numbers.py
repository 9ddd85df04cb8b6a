"""What measures share: argument checks, and arrays of results with their nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.types import Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_ORDERED = (Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.STRING, Kind.TIMESTAMP, Kind.DATE)


def require_numeric(measure: str, arguments: Sequence[Type]) -> Sequence[Type]:
    """The arguments, or TypeError if one is no number."""
    return _require(measure, arguments, (Kind.INT, Kind.FLOAT, Kind.DECIMAL), "a number")


def require_ordered(measure: str, arguments: Sequence[Type]) -> Sequence[Type]:
    """The arguments, or TypeError if one has no order."""
    return _require(measure, arguments, _ORDERED, "a number, string, timestamp or date")


def require_scalar(measure: str, arguments: Sequence[Type]) -> Sequence[Type]:
    """The arguments, or TypeError if one is a list."""
    return _require(measure, arguments, (*_ORDERED, Kind.BOOL), "a single value")


def require_bool(measure: str, arguments: Sequence[Type]) -> Sequence[Type]:
    """The arguments, or TypeError if one is no bool."""
    return _require(measure, arguments, (Kind.BOOL,), "a bool")


def _require(
    measure: str, arguments: Sequence[Type], kinds: Sequence[Kind], what: str
) -> Sequence[Type]:
    for argument in arguments:
        if argument.kind not in kinds:
            raise TypeError(f"{measure}(x) takes {what}, and x is {argument}")
    return arguments


def float_array(values: np.ndarray, valid: np.ndarray) -> pa.Array:
    """Doubles; null where not valid or beyond the range of a double."""
    import numpy as np
    import pyarrow as pa

    return pa.array(values, mask=~(valid & np.isfinite(values)))


def numeric_array(values: np.ndarray, valid: np.ndarray, kind: Type) -> pa.Array:
    """Values of a MIN or MAX accumulator as `kind`."""
    import pyarrow as pa

    if kind.kind is Kind.FLOAT:
        return float_array(values, valid)
    if kind.kind is Kind.INT:
        return pa.array(values, mask=~valid)
    return object_array(values.tolist(), kind)


def object_array(values: Sequence[object], kind: Type) -> pa.Array:
    """Python values, None for null, as `kind`."""
    import pyarrow as pa

    from pipelinekit.columns import arrow_type

    return pa.array(values, arrow_type(kind))
