"""What there is in the words of an expectation: what a test would have to say to pass."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipelinekit.data import DeadLetter
from pipelinekit.runtime.outcome import MATCHED_BY, Outcome, Row, milliseconds


def restated_row(row: Row, columns: Sequence[str], outcome: Outcome) -> dict[str, Any]:
    """The row as an expectation names it: its window and key, and what the others name."""
    named = [c for c in columns if c not in (*MATCHED_BY, *outcome.key)]
    ends = "window_end" in columns or _has_other_end(row, outcome)
    identity = ["window", *(["window_end"] if ends else []), *outcome.key]
    grain = {} if row.grain == outcome.finest else {"grain": row.grain}
    values = {name: restated_value(row, name, None, outcome) for name in (*identity, *named)}
    return {"window": values.pop("window"), **grain, **values}


def restated_letter(
    letter: DeadLetter, event: Mapping[str, Any], outcome: Outcome
) -> dict[str, Any]:
    """The letter as an expectation names it: by its text, its id or else all that it said."""
    names = ["raw"] if "raw" in event else [outcome.id] if outcome.id is not None else list(event)
    return {**{name: event.get(name) for name in names}, "reason": letter.reason.value}


def restated_value(row: Row, name: str, was: Any, outcome: Outcome) -> Any:
    """The row's value in the words of an expectation; a tolerance that was there stays."""
    value = outcome.value(row, name)
    if name in ("window", "window_end"):
        return _time_written(value, row, name, outcome)
    if isinstance(was, Mapping) and "approx" in was and value is not None:
        return {**was, "approx": float(value)}
    return _plainly(value)


def _has_other_end(row: Row, outcome: Outcome) -> bool:
    """Whether another row differs from this one in nothing but the end of its window."""
    names = ("window_start", *outcome.key)
    same = [r for r in outcome.rows if r.grain == row.grain]
    return any(
        all(r.values[n] == row.values[n] for n in names)
        and r.values["window_end"] != row.values["window_end"]
        for r in same
    )


def _plainly(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case dt.datetime():
            return f"{value.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        case dt.date():
            return value.isoformat()
        case Mapping():
            return {key: _plainly(item) for key, item in value.items()}
        case list():
            return [_plainly(item) for item in value]
        case _:
            return value


def _time_written(value: dt.datetime, row: Row, name: str, outcome: Outcome) -> str:
    """The shortest way to write a window's time that is read back as the same."""
    local = value.astimezone(outcome.zone)
    texts = [f"{local:%H:%M}", f"{local:%H:%M:%S}", f"{local:%Y-%m-%dT%H:%M:%S}"]
    if name == "window" and "window_date" in row.values:
        texts.insert(0, str(row.values["window_date"]))
    same = (text for text in texts if outcome.instant(text) == milliseconds(value))
    return next(same, str(_plainly(value)))
