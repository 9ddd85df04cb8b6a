"""The contract of a codec: message bytes in, typed columns and refused rows out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelinekit.types import Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from pipelinekit.data import Headers


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One typed column of a source: where it lies in a message and how it is read."""

    name: str
    type: Type
    paths: tuple[tuple[str, ...], ...]  # the first present and not null wins
    header: str | None = None  # read from this message header instead
    optional: bool = False
    default: str | bool | int | float | None = None  # as the spec's scalar; None = no default
    unit: str = "ms"  # of a numeric timestamp: ms | s | us

    @property
    def is_required(self) -> bool:
        """Whether a message without it is refused."""
        return not self.optional and self.default is None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    index: int  # in the input
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """`frame` has one row per good message, a column for each wanted field, types as in types.py.

    `event_times_ms` is int64 and aligned with `frame`; `indices` gives each row's place in the
    input (int64, ascending), or None when every message is good.
    """

    frame: pl.DataFrame
    event_times_ms: np.ndarray
    indices: np.ndarray | None
    refused: tuple[RefusedRow, ...]


class Decoder(Protocol):
    """Configured for one source's fields. Never raises on any bytes."""

    def decode(self, values: Sequence[bytes | None], headers: Sequence[Headers]) -> Decoded: ...


class MakeDecoder(Protocol):
    def __call__(
        self, fields: Sequence[FieldSpec], event_time: str, wanted: Collection[str] | None = None
    ) -> Decoder:
        """A decoder of the fields; `event_time` names the one (a timestamp) that times the event.

        `wanted`: names of the fields whose columns are read, all if None. Columns of others may be
        left out, but the same messages are refused, for any one of their faults.
        """
        ...
