"""Partials and pane rows as bytes: what crosses the shuffle and what a bucket's log holds.

msgpack of (name of state, grain, window start, whole, Arrow IPC stream); an Arrow *file* costs ten
times as much for a small frame.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import polars as pl

from pipelinekit.engine.compile import StateColumn
from pipelinekit.engine.ingest import Partial
from pipelinekit.engine.pane import PaneId, from_state, neutral_of
from pipelinekit.engine.panes import PaneRows

_encode = msgspec.msgpack.Encoder().encode


def encode_partials(partials: Iterable[Partial]) -> bytes:
    """One bucket's partials."""
    return _encode([(p.metric, _stream(p.frame)) for p in partials])


def decode_partials(data: bytes, columns: Mapping[str, Sequence[StateColumn]]) -> list[Partial]:
    """The inverse, for metrics that the job still has: those in `columns`, by name of state.

    Partials from before a measure was added get its neutral values.
    """
    return [
        Partial(name, 0, _completed(pl.read_ipc_stream(io.BytesIO(stream)), columns[name]))
        for name, stream in msgspec.msgpack.decode(data)
        if name in columns
    ]


def encode_rows(rows: Iterable[PaneRows]) -> bytes:
    """A snapshot of panes."""
    return _encode([(r.id.metric, r.id.grain, r.id.start_ms, _stream(r.frame)) for r in rows])


def decode_rows(data: bytes) -> list[PaneRows]:
    """The inverse."""
    return [
        PaneRows(PaneId(*place), pl.read_ipc_stream(io.BytesIO(stream)), is_full=True)
        for *place, stream in msgspec.msgpack.decode(data)
    ]


def _stream(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


def _completed(frame: pl.DataFrame, columns: Sequence[StateColumn]) -> pl.DataFrame:
    missing = [c for c in columns if c.name not in frame.columns]
    if not missing:
        return frame
    return frame.hstack(
        [
            from_state(
                c.name,
                np.full(frame.height, neutral_of(c.accumulator), dtype=c.accumulator.dtype),
                c.accumulator,
            )
            for c in missing
        ]
    )
