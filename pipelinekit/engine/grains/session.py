"""Session windows: a pane holds the sessions between two cuts, found by key and first event.

A session's row leaves once, when the watermark has passed its end by the allowed lateness: no
event that is accepted after that can touch it. Then, and when it becomes part of another, its slot
is emptied: saved as a row without events, which takes it away when the state is read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from pipelinekit.engine.compile import FIRST, LAST, CompiledMeasure, StateColumn
from pipelinekit.engine.grains.base import Grain, Metric, Rows
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.engine.pane import Key, Pane, PaneId
from pipelinekit.engine.rows import Changed
from pipelinekit.measures.base import INT64_MAX, Accumulator, Merge
from pipelinekit.types import INT
from pipelinekit.units import SECOND_MS, TIME_MAX_MS
from pipelinekit.windows.session import Session

_LAST = StateColumn(LAST, Accumulator(LAST, Merge.MAX, INT))
_Span = list[int]  # the times of a session's first and last event


class SessionGrain(Grain):
    """A slot's key is the metric's key and the time of the session's first event."""

    def __init__(self, metric: Metric, place: int, measures: tuple[CompiledMeasure, ...]) -> None:
        super().__init__(metric, place, measures)
        assert isinstance(metric.plan.window, Session)
        self.window = metric.plan.window
        self.columns = (*self.columns, _LAST)
        self._keys = len(metric.plan.key)
        # By pane and key the sessions that may still change; None: to be read from the panes.
        self._open: dict[int, dict[Key, list[_Span]]] | None = {}
        self._next_end_ms = INT64_MAX  # no session ends before

    # --- in -----------------------------------------------------------------------------------

    def is_forgotten(self, rows: Rows, watermark_ms: int) -> bool:
        return int(rows.windows[FIRST].min()) + self.allowed_ms <= watermark_ms

    def merge(self, rows: Rows, watermark_ms: int, now_ms: int) -> None:
        pane = self.pane(rows.start_ms, watermark_ms)
        sessions = self._sessions().setdefault(rows.start_ms, {})
        moved: dict[Key, Key] = {}
        known = len(sessions)
        firsts, lasts = rows.windows[FIRST].tolist(), rows.windows[LAST].tolist()
        found = [
            self._session_of(sessions, key, first, last, moved)
            for key, first, last in zip(rows.keys, firsts, lasts, strict=True)
        ]
        for key in moved:
            pane.move(key, _resolved(moved, key))
        found = [_resolved(moved, key) for key in found]
        parts = [*rows.parts, rows.windows[LAST]]
        for places in _rounds(found):
            keys = [found[i] for i in places]
            at = np.asarray(places)
            pane.merge(keys, [part[at] for part in parts], rows.events[at], None, None)
        self._next_end_ms = min(self._next_end_ms, min(lasts) + self.window.gap_ms, pane.end_ms)
        if self.key_counter is not None and len(sessions) > known:
            new = list(islice(reversed(sessions), len(sessions) - known))  # a dict's newest
            self.key_counter.opened(new, pane.id.start_ms, pane.end_ms)

    def advance(self, watermark_ms: int) -> None:
        if watermark_ms >= self._next_end_ms + self.allowed_ms:
            self._end_sessions(watermark_ms)
        self.forget(watermark_ms)

    def forget(self, watermark_ms: int) -> None:
        super().forget(watermark_ms)
        sessions = self._sessions()
        for start in sessions.keys() - self.panes.keys():
            del sessions[start]

    # --- out ----------------------------------------------------------------------------------

    def deadlines(self) -> Iterable[int]:
        if self._next_end_ms < INT64_MAX:
            # Whole seconds: a runner wakes for each deadline, and sessions end at any moment.
            yield -(-(self._next_end_ms + self.allowed_ms) // SECOND_MS) * SECOND_MS
        yield from (pane.end_ms + self.allowed_ms for pane in self.panes.values())

    def changed(self, pane: Pane, slots: np.ndarray) -> Changed:
        keys = [pane.keys[i] for i in slots.tolist()]
        starts = np.asarray([key[-1] for key in keys], dtype=np.int64)
        return Changed(
            keys=[key[0] if self._keys == 1 else key[:-1] for key in keys],
            starts=starts,
            ends=self._ends(pane)[slots],
            state={name: values[slots] for name, values in pane.state.items()},
            events=pane.events[slots],
            late=pane.late[slots],
            lengths=pane.state[LAST][slots] - starts,
        )

    def written(self, pane: Pane, slots: np.ndarray, now_ms: int) -> None:
        pane.mark_written(slots, now_ms)
        if pane.dirty_since_ms is not None:
            pane.dirty_since_ms = 0
        pane.empty(slots)

    def all_written(self) -> None:
        """Nothing: which sessions had left is not known, and those that had leave once more."""

    def closed_through(self, watermark_ms: int) -> int:
        through = self.metric.plan.closed_through(self.window, min(watermark_ms, TIME_MAX_MS))
        for pane in self.panes.values():
            if pane.dirty_since_ms is not None:
                through = min(through, int(self._ends(pane)[pane.dirty_slots()].min()) - 1)
        return through

    # --- state --------------------------------------------------------------------------------

    @property
    def saved_key_types(self) -> Sequence[pl.DataType]:
        return [*self.key_types, pl.Int64()]

    def home(self, identity: PaneId, watermark_ms: int) -> Pane | None:
        self._open = None
        if self.key_counter is not None:
            self.key_counter.start_over()
        self._next_end_ms = NO_TIME
        return super().home(identity, watermark_ms)

    # --- private ------------------------------------------------------------------------------

    def _end_sessions(self, watermark_ms: int) -> None:
        self._next_end_ms = INT64_MAX
        sessions = self._sessions()
        for start, pane in self.panes.items():
            ends = self._ends(pane)
            is_waiting = (pane.events[: len(pane)] > 0) & ~pane.dirty[: len(pane)]
            is_over = is_waiting & (ends + self.allowed_ms <= watermark_ms)
            over = np.flatnonzero(is_over)
            if len(over):
                pane.dirty[over] = True
                pane.dirty_since_ms = 0
                self._close(sessions.get(start, {}), pane, over)
            if (left := is_waiting & ~is_over).any():
                self._next_end_ms = min(self._next_end_ms, int(ends[left].min()))

    def _ends(self, pane: Pane) -> np.ndarray:
        if not len(pane):
            return np.zeros(0, dtype=np.int64)
        lasts = pane.state[LAST][: len(pane)]
        ends: np.ndarray = np.minimum(
            np.minimum(lasts, pane.end_ms) + self.window.gap_ms, pane.end_ms
        )
        return ends

    def _sessions(self) -> dict[int, dict[Key, list[_Span]]]:
        if self._open is None:
            self._open = {}
            for start, pane in self.panes.items():
                sessions = self._open.setdefault(start, {})
                for slot in np.flatnonzero(pane.events[: len(pane)]).tolist():
                    *key, first = pane.keys[slot]
                    own = key[0] if self._keys == 1 else tuple(key)
                    last = int(pane.state[LAST][slot])
                    sessions.setdefault(own, []).append([first, last])
                if self.key_counter is not None and sessions:
                    self.key_counter.opened(list(sessions), start, pane.end_ms)
        return self._open

    def _slot_key(self, key: Key, first: int) -> Key:
        return (key, first) if self._keys == 1 else (*key, first)

    def _session_of(
        self,
        sessions: dict[Key, list[_Span]],
        key: Key,
        first: int,
        last: int,
        moved: dict[Key, Key],
    ) -> Key:
        """The slot's key of the session that these events are of, which may join several."""
        gap = self.window.gap_ms
        known = sessions.setdefault(key, [])
        touched = [s for s in known if s[0] < last + gap and first < s[1] + gap]
        if not touched:
            known.append([first, last])
            return self._slot_key(key, first)
        joined = [min(first, *(s[0] for s in touched)), max(last, *(s[1] for s in touched))]
        slot_key = self._slot_key(key, joined[0])
        for span in touched:
            known.remove(span)
            if span[0] != joined[0]:
                moved[self._slot_key(key, span[0])] = slot_key
        known.append(joined)
        return slot_key

    def _close(self, sessions: dict[Key, list[_Span]], pane: Pane, slots: np.ndarray) -> None:
        for slot in slots.tolist():
            *key, first = pane.keys[slot]
            own = key[0] if self._keys == 1 else tuple(key)
            left = [s for s in sessions.get(own, ()) if s[0] != first]
            if left:
                sessions[own] = left
            elif sessions.pop(own, None) is not None and self.key_counter is not None:
                self.key_counter.closed(own, pane.id.start_ms)


def _resolved(moved: dict[Any, Any], key: Any) -> Any:
    while key in moved:
        key = moved[key]
    return key


def _rounds(keys: Sequence[Key]) -> Iterable[list[int]]:
    """The places of the keys, in rounds in which each key occurs once."""
    left = range(len(keys))
    while left:
        seen: dict[Key, int] = {}
        for place in left:
            seen.setdefault(keys[place], place)
        yield list(seen.values())
        taken = set(seen.values())
        left = [place for place in left if place not in taken]  # type: ignore[assignment]
