"""An advice on lateness as text with a small chart, and as JSON."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelinekit.units import format_bytes, format_duration

if TYPE_CHECKING:
    from pipelinekit.runtime.simulation import Advice, Fate, Held, MetricAdvice

_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def text(advice: Advice) -> str:
    """The advice for a terminal."""
    lines = [*_source(advice), *(line for m in advice.metrics for line in _metric(m, advice))]
    return "\n".join(lines) + "\n"


def as_json(advice: Advice) -> str:
    """The whole advice as one JSON document; durations as specs write them."""
    found = {
        "source": advice.source,
        "messages": advice.messages,
        "invalid": advice.invalid,
        "future": advice.future,
        "partitions": advice.partitions,
        "first_event": _time(advice.first_ms),
        "last_event": _time(advice.last_ms),
        "disorder": [
            {"up_to": None if limit is None else format_duration(limit), "events": count}
            for limit, count in advice.disorder
        ],
        "out_of_orderness": {
            "declared": format_duration(advice.declared_out_of_orderness_ms),
            "recommended": format_duration(advice.recommended_out_of_orderness_ms),
        },
        "metrics": [_document(m) for m in advice.metrics],
    }
    return json.dumps(found, ensure_ascii=False) + "\n"


def _source(advice: Advice) -> Iterator[str]:
    yield f"source {advice.source}: events from {_time(advice.first_ms)} to {_time(advice.last_ms)}"
    yield (
        f"  messages: {advice.messages:,} in {_partitions(advice.partitions)}, {advice.invalid:,} "
        f"invalid, {advice.future:,} from the future"
    )
    yield "  behind the newest event of the partition"
    before = "0s"
    for limit, count in advice.disorder:
        if limit == 0:
            label = "not at all"
        else:
            name = None if limit is None else format_duration(limit)
            label = f"beyond {before}" if name is None else f"up to {name}"
            before = name or before
        share = count / advice.accepted
        yield f"    {label:<11} {_percent(share, count):>9}  {_bar(share)}".rstrip()
    declared = format_duration(advice.declared_out_of_orderness_ms)
    recommended = format_duration(advice.recommended_out_of_orderness_ms)
    yield (
        f"  out_of_orderness: {declared} declared, {recommended} recommended: "
        "99 % of the events lie no farther behind"
    )


def _metric(metric: MetricAdvice, advice: Advice) -> Iterator[str]:
    yield ""
    yield f"metric {metric.metric}: {metric.events:,} events, windows of {metric.window}"
    if metric.recommended_ms is None:
        yield f"  its filter lets none of the {advice.accepted:,} events through: {metric.filter}"
        return
    yield "  lateness   in time  corrected  too late"
    for fate in metric.fates:
        mark = "  declared" if fate.lateness_ms == metric.declared_ms else ""
        cells = (fate.in_time, fate.corrected, fate.too_late)
        shares = [_percent(n / metric.events, n) for n in cells]
        name = format_duration(fate.lateness_ms)
        yield f"  {name:<9} {shares[0]:>8}  {shares[1]:>9}  {shares[2]:>8}{mark}"
    recommended = format_duration(metric.recommended_ms)
    yield (
        f"  lateness: {format_duration(metric.declared_ms)} declared, {recommended} recommended "
        "with that out_of_orderness: 99.9 % of the events count"
    )
    yield f"  state: {_held(metric.held)} as declared"
    yield f"         {_held(metric.held_recommended)} as recommended"


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"


def _held(held: Held) -> str:
    return f"at most {held.rows:,} rows, about {format_bytes(held.bytes)}"


def _percent(share: float, count: int) -> str:
    """The share, never rounded to none or all when it isn't."""
    if count == 0:
        return "–"
    shown = f"{share * 100:.2f} %"
    if shown == "0.00 %":
        return "<0.01 %"
    return ">99.99 %" if shown == "100.00 %" and share < 1 else shown


def _bar(share: float) -> str:
    """Blocks as long as the share; what is more than nothing is seen."""
    eighths = round(share * _BAR * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _time(value_ms: int) -> str:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=value_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _document(metric: MetricAdvice) -> dict[str, object]:
    return {
        "metric": metric.metric,
        "window": metric.window,
        "filter": metric.filter,
        "events": metric.events,
        "fates": [_fate(f, metric.events) for f in metric.fates],
        "lateness": {
            "declared": format_duration(metric.declared_ms),
            "recommended": None
            if metric.recommended_ms is None
            else format_duration(metric.recommended_ms),
        },
        "state": {
            "declared": {"rows": metric.held.rows, "bytes": metric.held.bytes},
            "recommended": {
                "rows": metric.held_recommended.rows,
                "bytes": metric.held_recommended.bytes,
            },
        },
    }


def _fate(fate: Fate, events: int) -> dict[str, object]:
    counts = {"in_time": fate.in_time, "corrected": fate.corrected, "too_late": fate.too_late}
    shares = {name: round(count / max(1, events), 6) for name, count in counts.items()}
    return {"lateness": format_duration(fate.lateness_ms), **counts, "shares": shares}
