"""Logs of a few events on a few partitions, and plans over them with any kind of window."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import strategies as st

from pipelinekit.data import RawBatch
from pipelinekit.plan.build import build
from pipelinekit.plan.model import Plan
from tests.spec.projects import METRIC, check, make_project

NOON = 1_704_110_400_000
HEAD = METRIC.split("tests:")[0]


@cache
def plan_of(text: str) -> Plan:
    with TemporaryDirectory() as folder:
        resolved, _ = check(make_project(Path(folder), metric=text))
        return build(resolved)[0]


def batch(messages: Sequence[tuple[int, bytes, int]]) -> RawBatch:
    """One batch of (partition, value, broker's time)."""
    at: Counter[int] = Counter()
    offsets = []
    for partition, _, _ in messages:
        offsets.append(at[partition])
        at[partition] += 1
    return RawBatch(
        values=[value for _, value, _ in messages],
        partitions=np.array([p for p, _, _ in messages], np.int32),
        offsets=np.array(offsets, np.int64),
        broker_times_ms=np.array([t for _, _, t in messages], np.int64),
        keys=[None] * len(messages),
        headers=[()] * len(messages),
        positions=dict(at),
    )


def part(whole: RawBatch, start: int, end: int) -> RawBatch:
    places = slice(start, end)
    partitions, offsets = whole.partitions[places], whole.offsets[places]
    return replace(
        whole,
        values=whole.values[places],
        partitions=partitions,
        offsets=offsets,
        broker_times_ms=whole.broker_times_ms[places],
        keys=whole.keys[places],
        headers=whole.headers[places],
        positions={int(p): int(offsets[partitions == p].max()) + 1 for p in np.unique(partitions)},
    )


def pieces(whole: RawBatch, cuts: Sequence[int]) -> Iterator[RawBatch]:
    """The batch as several, which end at the cuts."""
    for start, end in pairwise(sorted({0, *(c for c in cuts if c < len(whole)), len(whole)})):
        yield part(whole, start, end)


def event(time_ms: int, country: str | None, kind: str = "view") -> bytes:
    return json.dumps({"id": "e", "t": time_ms, "kind": kind, "country": country}).encode()


Event = tuple[int, int, str | None, str, int]
logs = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(-900_000, 900_000),  # event time, around noon
        st.sampled_from(["BE", "NL", None]),
        st.sampled_from(["view", "view", "click", "broken"]),
        st.sampled_from([0, 0, 0, -400_000]),  # how far the broker's clock is off
    ),
    min_size=1,
    max_size=60,
)


def written(log: Sequence[Event]) -> RawBatch:
    return batch(
        [
            (p, b"{" if kind == "broken" else event(NOON + t, c, kind), NOON + t + skew)
            for p, t, c, kind, skew in log
        ]
    )


WINDOWS = {
    "tumbling": "{ tumbling: 1m }\nrollups: [1h]",
    "calendar": "{ tumbling: 1d, timezone: Europe/Brussels }",
    "sliding": "{ sliding: 5m, every: 1m }",
    "sliding days": "{ sliding: 3d, every: 1d }",
    "cumulative": "{ cumulative: 10m, every: 1m }",
    "cumulative day": "{ cumulative: 1d, every: 15m }",
    "session": "{ session: 2m, max: 1h }",
}


def windowed(kind: str, allowed: str, metric: str = HEAD) -> Plan:
    for old, new in (("{ tumbling: 1m }", WINDOWS[kind]), ("10m }\nsink", f"{allowed} }}\nsink")):
        assert old in metric
        metric = metric.replace(old, new)
    return plan_of(metric)
