"""A batch's accepted events as columns, and the dead letters of those that are refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pipelinekit.data import DeadLetter, RawBatch
from pipelinekit.reasons import Reason


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Accepted events as aligned columns; `places` are their places in the batch (None: all)."""

    frame: pl.DataFrame
    times: np.ndarray
    partitions: np.ndarray
    places: np.ndarray | None
    watermarks: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def place(self, row: int) -> int:
        return int(row) if self.places is None else int(self.places[row])

    def where(self, mask: np.ndarray) -> Events:
        places = np.arange(len(self.times)) if self.places is None else self.places
        return Events(
            self.frame.filter(pl.Series(mask)),
            self.times[mask],
            self.partitions[mask],
            places[mask],
            self.watermarks[mask],
        )


class Letters:
    """The batch's dead letters, one a message however many metrics refuse it."""

    def __init__(self, batch: RawBatch, topic: str) -> None:
        self._batch = batch
        self._topic = topic
        self._letters: dict[int, DeadLetter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def add(
        self, place: int, reason: Reason, detail: str, *, event_time_ms: int | None = None
    ) -> None:
        batch = self._batch
        self._letters[place] = DeadLetter(
            key=batch.keys[place],
            value=batch.values[place],
            headers=tuple(batch.headers[place] or ()),
            reason=reason,
            detail=detail,
            metrics=(),
            topic=self._topic,
            partition=int(batch.partitions[place]),
            offset=int(batch.offsets[place]),
            event_time_ms=event_time_ms,
            watermark_ms=None,
        )

    def add_too_late(self, events: Events, row: int, metric: str) -> None:
        place = events.place(row)
        if place not in self._letters:
            watermark = int(events.watermarks[row])
            detail = "the event's window was closed for good"
            time = int(events.times[row])
            self.add(place, Reason.TOO_LATE, detail, event_time_ms=time)
            self._letters[place] = replace(self._letters[place], watermark_ms=watermark)
        letter = self._letters[place]
        self._letters[place] = replace(letter, metrics=(*letter.metrics, metric))

    def places(self, reason: Reason) -> list[int]:
        return [place for place, letter in self._letters.items() if letter.reason is reason]

    def build(self) -> tuple[DeadLetter, ...]:
        return tuple(self._letters[place] for place in sorted(self._letters))
