"""A naive model of what the engine promises: event by event, dicts and lists, no shared code.

It reads the same log and says the final table, the dead letters and the ledger. Idle raises are
given as input (`raises`): they depend on a clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.events import Event, parse

MINUTE = 60_000
FAR_PAST = -(10**18)
Row = dict[str, Any]


@dataclass(frozen=True)
class Message:
    value: bytes | None
    broker_ms: int


@dataclass(frozen=True)
class Metric:
    """What the model needs of a metric, said in Python rather than in expressions."""

    name: str
    key: Callable[[Event], tuple]
    keep: Callable[[Event], bool]
    results: Mapping[str, Callable[[list[Event]], Any]]
    sizes: Sequence[int]  # window, then rollups, ms
    allowed_ms: int
    floor_ms: int = FAR_PAST
    kind: str = "tumbling"  # others have as sizes: size and slide, period and tick, gap and cut


@dataclass
class Answer:
    table: dict[tuple, Row] = field(default_factory=dict)
    letters: dict[tuple[int, int], tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    ledger: Counter = field(default_factory=Counter)


def answer(
    log: Mapping[int, Sequence[Message]],
    metrics: Sequence[Metric],
    *,
    bound_ms: int,
    skew_ms: int,
    raises: Mapping[tuple[int, int], int],
    parse: Callable[[bytes | None], Event | None] = parse,
) -> Answer:
    """`raises[(partition, offset)]`: W was raised to that before the message at the offset."""
    out = Answer()
    panes: dict[tuple, list[tuple[Event, bool]]] = defaultdict(list)
    counted: dict[tuple, list[tuple[Event, int]]] = defaultdict(list)
    for partition, messages in log.items():
        greatest, watermark = FAR_PAST, FAR_PAST
        for offset, message in enumerate(messages):
            watermark = max(watermark, raises.get((partition, offset), FAR_PAST))
            event = parse(message.value)
            if event is None:
                out.letters[(partition, offset)] = ("invalid", ())
                out.ledger[("", partition, "invalid")] += 1
                continue
            if event["t"] > message.broker_ms + skew_ms:
                out.letters[(partition, offset)] = ("future", ())
                out.ledger[("", partition, "future")] += 1
                continue
            out.ledger[("", partition, "accepted")] += 1
            refused = []
            for metric in metrics:
                outcome = place(metric, event, watermark, panes, counted)
                out.ledger[(metric.name, partition, outcome)] += 1
                if outcome == "too_late":
                    refused.append(metric.name)
            if refused:
                out.letters[(partition, offset)] = ("too_late", tuple(refused))
            greatest = max(greatest, event["t"])
            watermark = max(watermark, greatest - bound_ms)
    by_name = {m.name: m for m in metrics}
    for (name, key), found in counted.items():
        spread = {"cumulative": ticks, "session": sessions}[by_name[name].kind]
        for size, start, entries in spread(by_name[name], found):
            panes[(name, size, key, start)] = entries
    for (name, size, key, start), entries in panes.items():
        events = [e for e, _ in entries]
        row = {column: make(events) for column, make in by_name[name].results.items()}
        row |= {"_events": len(events), "_late": sum(late for _, late in entries)}
        out.table[(name, size, key, start)] = row
    return out


def place(metric: Metric, event: Event, watermark: int, panes: dict, counted: dict) -> str:
    """Put the event into the metric's windows, or say why not."""
    if not metric.keep(event):
        return "filtered"
    key, t, allowed = metric.key(event), event["t"], metric.allowed_ms
    unit = metric.sizes[1] if metric.kind in ("sliding", "session") else metric.sizes[0]
    start = t // unit * unit  # of the last window, the period, the stretch between two cuts
    if start < metric.floor_ms:
        return "before_start"
    if (t if metric.kind == "session" else start + metric.sizes[0]) + allowed <= watermark:
        return "too_late"
    if metric.kind in ("cumulative", "session"):
        counted[(metric.name, key)].append((event, watermark))
        return "counted"
    if metric.kind == "sliding":
        size = metric.sizes[0]
        for own in range(start - size + unit, start + 1, unit):
            if own >= metric.floor_ms and own + size + allowed > watermark:
                panes[(metric.name, size, key, own)].append((event, own + size <= watermark))
        return "counted"
    for size in metric.sizes:
        own = t // size * size
        panes[(metric.name, size, key, own)].append((event, own + size <= watermark))
    return "counted"


def ticks(metric: Metric, found: list[tuple[Event, int]]) -> Iterator[tuple[int, int, list]]:
    """A row for each tick that was the first open one of an event: all up to it."""
    period, tick = metric.sizes
    first_open: dict[int, list[tuple[Event, int, int]]] = defaultdict(list)
    for event, watermark in found:
        start = event["t"] // period * period
        ends = [min(e, start + period) for e in range(start + tick, start + period + tick, tick)]
        end = next(e for e in ends if e > event["t"] and e + metric.allowed_ms > watermark)
        first_open[start].append((event, watermark, end))
    for start, entries in first_open.items():
        for end in {e for _, _, e in entries}:
            yield end - start, start, [(ev, end <= w) for ev, w, e in entries if e <= end]


def sessions(metric: Metric, found: list[tuple[Event, int]]) -> Iterator[tuple[int, int, list]]:
    """A row for each stretch of events without a gap, cut at fixed times."""
    gap, cut = metric.sizes
    stretch: list[Event] = []
    for event in [*sorted((e for e, _ in found), key=lambda e: e["t"]), None]:
        if stretch and (
            event is None
            or event["t"] - stretch[-1]["t"] >= gap
            or event["t"] // cut != stretch[-1]["t"] // cut
        ):
            start, last = stretch[0]["t"], stretch[-1]["t"]
            end = min(last + gap, (last // cut + 1) * cut)
            yield end - start, start, [(e, False) for e in stretch]
            stretch = []
        stretch.append(event)  # type: ignore[arg-type]
