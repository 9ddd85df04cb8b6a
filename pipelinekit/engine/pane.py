"""One pane: all keys of one window of one grain, their accumulators as growing columns.

A dictionary finds a key's slot; everything else is a numpy column indexed by slot. Merging a
partial costs its own rows, whatever the pane holds, and so does reading the changed rows out.
(docs/decisions: an eager merge of data frames costs what the pane holds.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import polars as pl

from pipelinekit.engine.compile import StateColumn
from pipelinekit.measures.base import INT64_MAX, INT64_MIN, OVER, Accumulator, Merge
from pipelinekit.measures.ranks import codes_of, merged_ranks, ranks_of
from pipelinekit.types import Kind

_CAPACITY_MIN = 16
Key = Any  # one key column: its value; several: their tuple; none: ()


@dataclass(frozen=True, slots=True)
class PaneId:
    """A window of a metric's grain (its place in MetricPlan.grains), by the metric's state_name."""

    metric: str
    grain: int
    start_ms: int


@dataclass(slots=True, eq=False)
class Pane:
    """`is_closed`: the watermark passed its end; `dirty_since_ms`: how long a row has waited."""

    id: PaneId
    end_ms: int
    columns: Sequence[StateColumn]
    index: dict[Key, int] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    state: dict[str, np.ndarray] = field(default_factory=dict)
    events: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    late: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    dirty: np.ndarray = field(default_factory=lambda: np.zeros(0, np.bool_))  # to be written
    changed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.bool_))  # to be saved
    is_closed: bool = False
    dirty_since_ms: int | None = None
    is_changed: bool = False

    def __len__(self) -> int:
        return len(self.keys)

    def merge(
        self,
        keys: Sequence[Key],
        parts: Sequence[np.ndarray],
        events: np.ndarray,
        late: np.ndarray | None,
        now_ms: int | None,
    ) -> None:
        """Add a partial's rows; `keys` are distinct, `parts` one column for each accumulator.

        Without `now_ms` the rows are not yet to be written.
        """
        slots = self._slots(keys)
        for column, part in zip(self.columns, parts, strict=True):
            _merge_into(self.state[column.name], slots, part, column.accumulator)
        self.events[slots] += events
        if late is not None:
            self.late[slots] += late
        self._touch(slots, now_ms)

    def add_late(self, keys: Sequence[Key], events: np.ndarray) -> None:
        """Count late events, of keys whether they have a row here or not."""
        slots = self._slots(keys)
        self.late[slots] += events
        self.changed[slots] = True
        self.is_changed = True

    def touch(self, keys: Sequence[Key], now_ms: int) -> None:
        """The rows of these keys, where there are some, are to be written again."""
        slots = np.fromiter(map(self.index.get, keys, repeat(-1)), np.int64, len(keys))
        slots = slots[slots >= 0]
        slots = slots[self.events[slots] > 0]
        if len(slots):
            self._touch(slots, now_ms)

    def fold(self, other: Pane) -> None:
        """Add another pane's rows, not to be written."""
        slots = np.flatnonzero(other.events[: len(other)])
        if len(slots):
            keys = [other.keys[i] for i in slots.tolist()]
            parts = [other.state[c.name][slots] for c in other.columns]
            self.merge(keys, parts, other.events[slots], None, None)

    def move(self, key: Key, to: Key) -> None:
        """Add the key's row to that of another key, and empty it."""
        slot = self.index.get(key)
        if slot is None:
            return
        slots = np.asarray([slot])
        parts = [self.state[c.name][slots] for c in self.columns]
        self.merge([to], parts, self.events[slots], self.late[slots], None)
        self.empty(slots)

    def empty(self, slots: np.ndarray) -> None:
        """The rows of these slots are no more: to be saved as such."""
        for column in self.columns:
            self.state[column.name][slots] = neutral_of(column.accumulator)
        self.events[slots] = self.late[slots] = 0
        self.dirty[slots] = False
        self.changed[slots] = True
        self.is_changed = True

    def put(self, frame: pl.DataFrame, keys: int) -> None:
        """Rows of a snapshot replace what is held; unsent ones become dirty."""
        if not frame.height:
            self._grow(1)
            return
        slots = self._slots(key_rows(frame, keys))
        for column in self.columns:
            if column.name in frame.columns:
                values = to_state(frame[column.name], column.accumulator)
                self.state[column.name][slots] = values
        self.events[slots] = frame["__events"].to_numpy()
        self.late[slots] = frame["__late"].to_numpy()
        self.dirty[slots] = frame["__dirty"].to_numpy()
        if self.dirty.any():
            self.dirty_since_ms = 0

    def rows(self, slots: np.ndarray, key_types: Sequence[pl.DataType]) -> pl.DataFrame:
        """The slots' rows as they are saved; `put` takes them back."""
        series = key_series([self.keys[i] for i in slots.tolist()], key_types)
        for column in self.columns:
            values = self.state[column.name][slots]
            series.append(from_state(column.name, values, column.accumulator))
        series.append(pl.Series("__events", self.events[slots]))
        series.append(pl.Series("__late", self.late[slots]))
        series.append(pl.Series("__dirty", self.dirty[slots]))
        return pl.DataFrame(series)

    def dirty_slots(self) -> np.ndarray:
        return np.flatnonzero(self.dirty[: len(self.keys)])

    def mark_written(self, slots: np.ndarray, now_ms: int) -> None:
        # A saved copy may still say "unsent": then a restore writes it again, which is harmless.
        self.dirty[slots] = False
        self.dirty_since_ms = now_ms if self.dirty[: len(self.keys)].any() else None

    def take_changed(self, *, everything: bool) -> np.ndarray:
        """The slots that changed since the last time, or all that are not empty."""
        count = len(self.keys)
        is_held = self.events[:count] | self.late[:count]
        slots = np.flatnonzero(is_held if everything else self.changed[:count])
        self.changed[:count] = False
        self.is_changed = False
        return slots

    def without_empty(self) -> None:
        """Give back the room of emptied slots, once these are most; they must be saved by then."""
        count = len(self.keys)
        held = np.flatnonzero(self.events[:count] | self.late[:count])
        if count < _CAPACITY_MIN or 2 * len(held) > count:
            return
        self.keys = [self.keys[i] for i in held.tolist()]
        self.index = {key: slot for slot, key in enumerate(self.keys)}
        self.state = {name: values[held] for name, values in self.state.items()}
        self.events, self.late = self.events[held], self.late[held]
        self.dirty, self.changed = self.dirty[held], self.changed[held]

    def _slots(self, keys: Sequence[Key]) -> np.ndarray:
        index = self.index
        slots = np.fromiter(map(index.get, keys, repeat(-1)), np.int64, len(keys))
        missing = np.flatnonzero(slots < 0)
        if len(missing):
            first = len(self.keys)
            new = [keys[i] for i in missing.tolist()]
            index.update(zip(new, range(first, first + len(new)), strict=True))
            self.keys.extend(new)
            slots[missing] = np.arange(first, first + len(new))
            self._grow(len(self.keys))
        return slots

    def _touch(self, slots: np.ndarray, now_ms: int | None) -> None:
        self.changed[slots] = True
        self.is_changed = True
        if now_ms is None:
            return
        self.dirty[slots] = True
        if self.dirty_since_ms is None:
            self.dirty_since_ms = now_ms

    def _grow(self, count: int) -> None:
        if count <= len(self.events) and self.state.keys() >= {c.name for c in self.columns}:
            return
        capacity = max(_CAPACITY_MIN, count + count // 2)
        self.events = _resized(self.events, capacity, 0)
        self.late = _resized(self.late, capacity, 0)
        self.dirty = _resized(self.dirty, capacity, False)
        self.changed = _resized(self.changed, capacity, False)
        for column in self.columns:
            neutral = neutral_of(column.accumulator)
            held = self.state.get(column.name)
            if held is None:
                held = np.zeros(0, dtype=column.accumulator.dtype)
            self.state[column.name] = _resized(held, capacity, neutral)


def total(
    panes: Sequence[Pane], keys: Sequence[Key], columns: Sequence[StateColumn]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The keys' accumulators and events over several panes, as columns."""
    state = {
        c.name: np.full(len(keys), neutral_of(c.accumulator), dtype=c.accumulator.dtype)
        for c in columns
    }
    events = np.zeros(len(keys), dtype=np.int64)
    for pane in panes:
        slots = np.fromiter(map(pane.index.get, keys, repeat(-1)), np.int64, len(keys))
        places = np.flatnonzero(slots >= 0)
        slots = slots[places]
        if not len(slots):
            continue
        for c in columns:
            _merge_into(state[c.name], places, pane.state[c.name][slots], c.accumulator)
        events[places] += pane.events[slots]
    return state, events


def _resized(values: np.ndarray, capacity: int, neutral: object) -> np.ndarray:
    grown = np.full(capacity, neutral, dtype=values.dtype)
    grown[: len(values)] = values
    return grown


def neutral_of(accumulator: Accumulator) -> object:
    """What merging with changes nothing."""
    if accumulator.dtype == "object":
        return None
    is_float = accumulator.type.kind is Kind.FLOAT
    match accumulator.merge:
        case Merge.MIN:
            return float("inf") if is_float else INT64_MAX
        case Merge.MAX:
            return float("-inf") if is_float else INT64_MIN
        case _:
            return 0


def _merge_into(
    held: np.ndarray, slots: np.ndarray, part: np.ndarray, accumulator: Accumulator
) -> None:
    if accumulator.dtype != "object":
        match accumulator.merge:
            case Merge.SUM:
                held[slots] += part
            case Merge.MIN:
                held[slots] = np.minimum(held[slots], part)
            case _:
                held[slots] = np.maximum(held[slots], part)
        return
    for slot, value in zip(slots.tolist(), part, strict=True):
        if value is not None:
            held[slot] = _merged(held[slot], value, accumulator)


def _merged(held: Any, value: Any, accumulator: Accumulator) -> Any:
    if accumulator.merge is Merge.UNION:
        if held is OVER or value is OVER:
            return OVER
        union: set[Any] = set() if held is None else held
        union.update(value)  # in place: the set is this pane's own, `value` may be shared
        return OVER if accumulator.limit is not None and len(union) > accumulator.limit else union
    if accumulator.merge is Merge.COUNTS:
        if held is OVER or value is OVER:
            return OVER
        counts: dict[Any, int] = {} if held is None else held
        for key, count in value.items():
            counts[key] = counts.get(key, 0) + count
        return OVER if accumulator.limit is not None and len(counts) > accumulator.limit else counts
    if accumulator.merge is Merge.RANKS:
        return merged_ranks(held, value, accumulator.limit or 0)
    if held is None:
        return value
    if accumulator.merge in (Merge.MAX, Merge.LATEST):
        return max(held, value)
    return min(held, value)


# --- between a frame's columns and a pane's ---------------------------------------------------


def key_rows(frame: pl.DataFrame, keys: int) -> list[Key]:
    """The key of each row."""
    if keys == 1:
        return frame["key_0"].to_list()
    if keys == 0:
        return [()] * frame.height
    return list(zip(*(frame[f"key_{i}"].to_list() for i in range(keys)), strict=True))


def key_series(keys: Sequence[Key], types: Sequence[pl.DataType]) -> list[pl.Series]:
    """The inverse of `key_rows`."""
    if len(types) == 1:
        return [pl.Series("key_0", keys, dtype=types[0])]
    columns = zip(*keys, strict=True) if keys else ([] for _ in types)
    return [
        pl.Series(f"key_{i}", list(values), dtype=kind)
        for i, (kind, values) in enumerate(zip(types, columns, strict=True))
    ]


def to_state(series: pl.Series, accumulator: Accumulator) -> np.ndarray:
    """A partial's column as a pane holds it."""
    if accumulator.dtype != "object":
        return series.to_numpy()
    values = series.to_list()
    state = np.empty(len(values), dtype=object)
    match accumulator.merge:
        case Merge.UNION:
            # A list that holds a null stands for OVER: no value of a set is null.
            for i, items in enumerate(values):
                if items:
                    state[i] = OVER if items[0] is None else _limited(items, accumulator.limit)
        case Merge.LATEST | Merge.EARLIEST:
            for i, entry in enumerate(values):
                if entry is not None:
                    state[i] = (entry["time"], entry["id"], entry["value"])
        case Merge.COUNTS:
            for i, pairs in enumerate(values):
                if pairs:
                    state[i] = OVER if pairs[0] is None else _counted(pairs, accumulator.limit)
        case Merge.RANKS:
            for i, codes in enumerate(values):
                if codes:
                    state[i] = merged_ranks(None, ranks_of(codes), accumulator.limit or 0)
        case _:
            state[:] = values
    return state


def _limited(items: list[object], limit: int | None) -> object:
    return OVER if limit is not None and len(items) > limit else set(items)


def _counted(pairs: list[dict[str, Any]], limit: int | None) -> object:
    if limit is not None and len(pairs) > limit:
        return OVER
    return {next(iter(pair.values())): pair["count"] for pair in pairs}


def from_state(name: str, values: np.ndarray, accumulator: Accumulator) -> pl.Series:
    """The inverse of `to_state`."""
    from pipelinekit.columns import polars_type

    if accumulator.dtype != "object":
        return pl.Series(name, values)
    kind = polars_type(accumulator.type)
    match accumulator.merge:
        case Merge.UNION:
            lists = [None if v is None else [None] if v is OVER else list(v) for v in values]
            return pl.Series(name, lists, dtype=pl.List(kind))
        case Merge.LATEST | Merge.EARLIEST:
            assert accumulator.id_type is not None
            parts = {"time": pl.Int64(), "id": polars_type(accumulator.id_type), "value": kind}
            entries = [None if v is None else dict(zip(parts, v, strict=True)) for v in values]
            return pl.Series(name, entries, dtype=pl.Struct(parts))
        case Merge.COUNTS:
            pairs = [
                None if v is None else [None] if v is OVER
                else [{"value": k, "count": n} for k, n in sorted(v.items())]
                for v in values
            ]  # fmt: skip
            counted = pl.Struct({"value": kind, "count": pl.Int64()})
            return pl.Series(name, pairs, dtype=pl.List(counted))
        case Merge.RANKS:
            codes = [None if v is None else codes_of(v).tolist() for v in values]
            return pl.Series(name, codes, dtype=pl.List(kind))
        case _:
            return pl.Series(name, values.tolist(), dtype=kind)
