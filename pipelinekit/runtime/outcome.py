"""What a scenario has come to: rows and dead letters, and how an expectation names their parts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from pipelinekit.data import DeadLetter
from pipelinekit.types import Type

OWN_NAMES = {"events": "_events", "late": "_late", "state": "_state"}
MATCHED_BY = ("window", "window_end", "grain")


@dataclass(frozen=True, slots=True)
class Row:
    grain: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario has come to; `instant` reads a time as the test writes it."""

    rows: Sequence[Row]
    letters: Sequence[tuple[DeadLetter, Mapping[str, Any]]]
    key: tuple[str, ...]
    measures: tuple[str, ...]
    types: Mapping[str, Type]
    finest: str
    grains: tuple[str, ...]
    id: str | None  # the source's field that names an event
    watermark_ms: int
    instant: Callable[[object], int]
    zone: ZoneInfo

    def state(self, row: Row) -> str:
        if milliseconds(row.values["window_end"]) > self.watermark_ms:
            return "provisional"
        return "corrected" if row.values["_late"] else "final"

    def value(self, row: Row, name: str) -> Any:
        if name in self.key or name in self.measures:
            return row.values[name]
        if name == "state":
            return self.state(row)
        if name in ("window", "window_end"):
            return row.values["window_start" if name == "window" else name]
        return row.grain if name == "grain" else row.values[OWN_NAMES.get(name, name)]


def milliseconds(moment: dt.datetime) -> int:
    """Since the epoch."""
    return round(moment.timestamp() * 1000)
