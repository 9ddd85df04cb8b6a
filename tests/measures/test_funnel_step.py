"""Steps in their order by event time, against a search of every way to take them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.measures.funnel_step import FunnelStep
from pipelinekit.types import BOOL
from tests.measures.kit import merged

Event = tuple[int, str]  # time, and the steps whose conditions it meets, as letters


def frame(events: Sequence[Event], steps: str) -> pl.DataFrame:
    columns = {step: [step in met for _, met in events] for step in steps}
    times = [time for time, _ in events]
    return pl.DataFrame({**columns, "time": times, "id": ["i"] * len(events)}).with_columns(
        pl.col("time").cast(pl.Int64), *(pl.col(step).cast(pl.Boolean) for step in steps)
    )


def deepest(
    events: Sequence[Event],
    steps: str,
    *,
    max_values: int = 100,
    split: random.Random | None = None,
) -> object:
    whole = frame(events, steps)
    parts = [whole]
    if split is not None:
        place = pl.Series("place", [split.randrange(4) for _ in events], pl.Int64)
        parts = [whole.filter(place == number) for number in range(4)]
    return merged(FunnelStep(), BOOL, parts, inputs=steps, max_values=max_values, rng=split)[1]


def searched(events: Sequence[Event], steps: str) -> int:
    """Tries each event for each step. Equal events (time and conditions) are one."""
    distinct = sorted(set(events))

    def best(step: int, time: int, used: frozenset[int]) -> int:
        if step == len(steps):
            return step
        found = step
        for place, (at, met) in enumerate(distinct):
            if place not in used and at >= time and steps[step] in met:
                found = max(found, best(step + 1, at, used | {place}))
        return found

    return best(0, -(2**62), frozenset())


@pytest.mark.parametrize(
    ("events", "steps", "expected"),
    [
        ([], "abc", 0),
        ([(1, "b"), (2, "c")], "abc", 0),
        ([(1, "a"), (2, "b"), (3, "c")], "abc", 3),
        ([(3, "a"), (2, "b"), (1, "c")], "abc", 1),
        ([(1, "a"), (1, "b")], "ab", 2),  # of one time, in whatever order they came
        ([(1, "ab")], "ab", 1),  # one event is one step
        ([(1, "ab"), (1, "a")], "ab", 2),  # the one that can only be first is first
        ([(1, "ab"), (1, "bc"), (1, "ac")], "abc", 3),
        ([(5, "a"), (4, "b"), (6, "b"), (5, "c")], "abc", 2),
        ([(-5, "a"), (-4, "b")], "ab", 2),  # before 1970
        ([(1, "a"), (2, "a"), (3, "a"), (4, "b")], "aab", 3),
        ([(1, "")], "ab", 0),
    ],
)
def test_steps_count_in_their_order_by_time(events: list[Event], steps: str, expected: int) -> None:
    if len(set(steps)) < len(steps):  # a step that stands twice has two letters
        steps, events = "axb", [(t, met.replace("a", "ax")) for t, met in events]
    assert deepest(events, steps) == expected
    assert searched(events, steps) == expected


@given(
    st.lists(st.tuples(st.integers(0, 4), st.text("abcd", max_size=3)), max_size=7),
    st.sampled_from(["ab", "abc", "abcd"]),
    st.randoms(use_true_random=False),
)
def test_any_split_and_order_finds_the_longest_way(
    events: list[Event], steps: str, rng: random.Random
) -> None:
    known = [(time, "".join(sorted(set(met) & set(steps)))) for time, met in events]
    assert deepest(known, steps, split=rng) == searched(known, steps)


def test_events_of_first_and_last_step_alone_need_no_room() -> None:
    events = [(time, "a" if time % 2 else "c") for time in range(1000)]
    assert deepest(events, "ac", max_values=1) == 2
    assert deepest(events, "abc", max_values=1) == 1
    assert deepest([*events, (1, "b"), (2, "b")], "abc", max_values=1) is None


def test_null_is_no_condition_met() -> None:
    part = pl.DataFrame({"a": [True, None], "b": [None, True], "time": [1, 2], "id": ["i", "j"]})
    nulls = part.with_columns(a=pl.lit(None, pl.Boolean))
    assert merged(FunnelStep(), BOOL, [part], inputs="ab", max_values=5)[1] == 2
    assert merged(FunnelStep(), BOOL, [nulls], inputs="ab", max_values=5)[1] == 0
