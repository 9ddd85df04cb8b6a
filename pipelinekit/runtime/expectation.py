"""What a test expects against what there is: rows by key, window and grain; letters in order."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from pipelinekit.data import DeadLetter
from pipelinekit.runtime.outcome import MATCHED_BY, OWN_NAMES, Outcome, Row, milliseconds
from pipelinekit.runtime.restated import restated_letter, restated_row, restated_value
from pipelinekit.spec.expressions.tree import STATE_SUFFIX
from pipelinekit.spec.models.testing import Contains
from pipelinekit.types import Kind, Type

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """`text` is the difference for people, the rest what an expectation would say instead.

    `wrong`: by the place of what was expected, the values that are there in place of the written
    ones, None where there is no such row or letter. `unexpected` is what nothing expects.
    """

    text: str
    wrong: Mapping[int, Mapping[str, Any] | None]
    unexpected: Sequence[Mapping[str, Any]]


def compare_rows(
    expected: Sequence[Mapping[str, Any]] | Contains, outcome: Outcome
) -> Difference | str | None:
    """None if the rows are as expected, a text if they can't be: no table has such columns."""
    partial = isinstance(expected, Contains)
    wanted = expected.contains if isinstance(expected, Contains) else expected
    if problem := _unknown_fields(wanted, outcome):
        return problem
    grains = {outcome.finest, *(str(w["grain"]) for w in wanted if "grain" in w)}
    left = [row for row in outcome.rows if row.grain in grains]
    lines: list[tuple[str, list[str]]] = []
    columns = _columns(wanted, outcome)
    instead: dict[int, Mapping[str, Any] | None] = {}
    for place, want in enumerate(wanted):
        row = next((r for r in left if _is_same(want, r, outcome)), None)
        if row is None:
            lines.append(("missing", _shown(want, columns, outcome)))
            instead[place] = None
            continue
        left.remove(row)
        if _wrong(want, row, outcome):
            lines.append(("expected", _shown(want, columns, outcome)))
            lines.append(("actual", _actual(row, columns, outcome)))
            instead[place] = _changed(want, row, outcome)
    if partial:
        left = []
    lines += [("unexpected", _actual(row, columns, outcome)) for row in left]
    if not lines:
        return None
    for place in [place for place, values in instead.items() if values is None]:
        row = next((r for r in left if _is_in_window(wanted[place], r, outcome)), None)
        if row is not None:  # of another key: the same place in the text
            left.remove(row)
            instead[place] = _changed(wanted[place], row, outcome)
    unexpected = [restated_row(row, columns, outcome) for row in left]
    return Difference(_aligned(["", *columns], lines), instead, unexpected)


def compare_letters(expected: Sequence[Mapping[str, Any]], outcome: Outcome) -> Difference | None:
    """None if the dead letters are just these, in any order, else what differs."""
    left = list(outcome.letters)
    lines = []
    missing = []
    for place, want in enumerate(expected):
        found = next((item for item in left if _is_letter(want, *item)), None)
        if found is None:
            lines.append(f"missing     {_flow(want)}")
            missing.append(place)
        else:
            left.remove(found)
    lines += [
        f"unexpected  {_flow({**event, 'reason': letter.reason.value})}: {letter.detail}"
        for letter, event in left
    ]
    if not lines:
        return None
    instead: dict[int, Mapping[str, Any] | None] = {}
    for place in missing:  # the same event for another reason is not another event
        same = {k: v for k, v in expected[place].items() if k != "reason"}
        found = next((item for item in left if same and _is_letter(same, *item)), None)
        instead[place] = None if found is None else {"reason": found[0].reason.value}
        if found is not None:
            left.remove(found)
    unexpected = [restated_letter(*item, outcome) for item in left]
    return Difference("\n".join(lines), instead, unexpected)


def _wrong(want: Mapping[str, Any], row: Row, outcome: Outcome) -> list[str]:
    return [n for n in want if n not in MATCHED_BY and not _matches(want, n, row, outcome)]


def _changed(want: Mapping[str, Any], row: Row, outcome: Outcome) -> dict[str, Any]:
    """What must be written in place of the wrong values."""
    return {n: restated_value(row, n, want[n], outcome) for n in _wrong(want, row, outcome)}


def _is_letter(want: Mapping[str, Any], letter: DeadLetter, event: Mapping[str, Any]) -> bool:
    for name, value in want.items():
        actual = letter.reason.value if name == "reason" else event.get(name)
        if actual != value:
            return False
    return True


def _unknown_fields(wanted: Sequence[Mapping[str, Any]], outcome: Outcome) -> str | None:
    known = {*outcome.key, *outcome.measures, *MATCHED_BY, *OWN_NAMES}
    for want in wanted:
        for name in want:
            if name not in known:
                return f'a row has no "{name}"; it has {", ".join(sorted(known))}'
        if "window" not in want:
            return f"the expected row {_flow(want)} has no window: name its start"
        if "grain" in want and want["grain"] not in outcome.grains:
            return f'the metric has no grain "{want["grain"]}"; it has {", ".join(outcome.grains)}'
    return None


def _is_same(want: Mapping[str, Any], row: Row, outcome: Outcome) -> bool:
    """Whether the row is the one that is meant: same grain, window and named key columns."""
    return _is_in_window(want, row, outcome) and all(
        _matches(want, name, row, outcome) for name in outcome.key if name in want
    )


def _is_in_window(want: Mapping[str, Any], row: Row, outcome: Outcome) -> bool:
    if str(want.get("grain", outcome.finest)) != row.grain:
        return False
    if outcome.instant(want["window"]) != milliseconds(row.values["window_start"]):
        return False
    end = want.get("window_end")
    return end is None or outcome.instant(end) == milliseconds(row.values["window_end"])


def _matches(want: Mapping[str, Any], name: str, row: Row, outcome: Outcome) -> bool:
    expected, actual = want[name], outcome.value(row, name)
    if isinstance(expected, Mapping) and "approx" in expected:
        within = float(expected.get("within", _TOLERANCE))
        return actual is not None and abs(float(actual) - float(expected["approx"])) <= within
    if expected is None or actual is None:
        return expected is None and actual is None
    return _is_equal(expected, actual, outcome.types.get(name), outcome.instant)


def _is_equal(
    expected: Any, actual: Any, kind: Type | None, instant: Callable[[object], int]
) -> bool:
    """Whether the value, of that type, is what the test wrote."""
    match kind.kind if kind is not None else None:
        case Kind.DECIMAL:
            try:
                return bool(Decimal(str(expected)) == actual)
            except InvalidOperation:
                return False
        case Kind.FLOAT:
            is_number = isinstance(expected, int | float) and not isinstance(expected, bool)
            return is_number and math.isclose(
                expected, actual, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE
            )
        case Kind.TIMESTAMP:
            return instant(expected) == milliseconds(actual)
        case Kind.DATE:
            return str(expected) == str(actual)
        case Kind.LIST if kind is not None:
            return (
                isinstance(expected, list)
                and len(expected) == len(actual)
                and all(
                    _is_equal(*pair, kind.item, instant)
                    for pair in zip(expected, actual, strict=True)
                )
            )
        case Kind.COUNTED if kind is not None:
            return (
                isinstance(expected, Mapping)
                and expected.keys() == actual.keys()
                and _is_equal(expected["value"], actual["value"], kind.item, instant)
                and expected["count"] == actual["count"]
            )
        case _:
            return type(expected) is type(actual) and bool(expected == actual)


def _columns(wanted: Sequence[Mapping[str, Any]], outcome: Outcome) -> list[str]:
    named = dict.fromkeys(name for want in wanted for name in want)
    if not named:
        results = [m for m in outcome.measures if not m.endswith(STATE_SUFFIX)]
        named = dict.fromkeys(("window", *outcome.key, *results))
    order = ("grain", "window", "window_end", *outcome.key, *outcome.measures, *OWN_NAMES)
    return [name for name in dict.fromkeys(order) if name in named]


def _shown(want: Mapping[str, Any], columns: Sequence[str], outcome: Outcome) -> list[str]:
    return [_text(want[name], outcome) if name in want else "" for name in columns]


def _actual(row: Row, columns: Sequence[str], outcome: Outcome) -> list[str]:
    return [_text(outcome.value(row, name), outcome) for name in columns]


def _text(value: Any, outcome: Outcome) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dt.datetime():
            local = value.astimezone(outcome.zone)
            day = "" if f"{local:%Y-%m-%d}" == "2024-01-01" else f"{local:%Y-%m-%d} "
            return day + (f"{local:%H:%M:%S}")
        case float():
            return f"{value:.10g}"
        case Mapping():
            return _flow({name: _text(item, outcome) for name, item in value.items()})
        case list():
            return f"[{', '.join(_text(item, outcome) for item in value)}]"
        case _:
            return str(value)


def _flow(value: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{k}: {v}" for k, v in value.items()) + " }"


def _aligned(head: Sequence[str], lines: Sequence[tuple[str, list[str]]]) -> str:
    table = [list(head), *([label, *cells] for label, cells in lines)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
