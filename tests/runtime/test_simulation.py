"""The advisor says what the engine does: the same fates of the same log, the same rows held."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelinekit.data import Outcome, RawBatch
from pipelinekit.engine.compile import late_column
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.load.stream import ClickStream, Shares
from pipelinekit.plan.build import build
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.recorded import from_file
from pipelinekit.runtime.simulation import LATENESS_MS, Advice, Fate, simulate
from pipelinekit.spec.loading import load
from pipelinekit.spec.resolve import resolve
from tests.small_logs import (
    HEAD,
    NOON,
    WINDOWS,
    Event,
    batch,
    event,
    logs,
    part,
    pieces,
    plan_of,
    windowed,
    written,
)


def counted(plan: Plan, whole: RawBatch, cuts: Sequence[int]) -> Fate:
    """What the engine does with the log, in batches that end at the cuts."""
    (metric,) = plan.metrics
    ingest = Ingest(plan.source, plan.metrics, {})
    times = {int(p): PartitionTime(0) for p in np.unique(whole.partitions)}
    late = 0
    outcomes: Counter[Outcome] = Counter()
    for piece in pieces(whole, cuts):
        result = ingest.take(piece, times, piece.broker_times_ms)
        times |= result.partitions
        for partial in result.partials:
            if late_column(0) in partial.frame.columns:
                late += int(partial.frame[late_column(0)].sum())
        for (name, _, outcome), count in result.counts.items():
            outcomes[outcome] += count if name == metric.name else 0
    total = outcomes[Outcome.COUNTED]
    return Fate(metric.allowed_lateness_ms, total - late, late, outcomes[Outcome.TOO_LATE])


@settings(max_examples=50)
@given(logs, st.lists(st.integers(1, 59)), st.sampled_from([0, 2_000, 60_000]))
def test_every_fate_is_the_engines(log: list[Event], cuts: list[int], bound: int) -> None:
    plan = plan_of(HEAD.replace("10m", "5m"))
    plan = replace(plan, source=replace(plan.source, out_of_orderness_ms=bound))
    whole = written(log)
    advice = simulate(plan, [whole])
    (found,) = advice.metrics
    assert [f.lateness_ms for f in found.fates] == sorted({*LATENESS_MS, 300_000})
    for fate in found.fates:
        metric = replace(plan.metrics[0], allowed_lateness_ms=fate.lateness_ms)
        assert fate == counted(replace(plan, metrics=(metric,)), whole, cuts)
    invalid = sum(kind == "broken" for _, _, _, kind, _ in log)
    future = sum(skew < 0 for _, _, _, kind, skew in log if kind != "broken")
    assert (advice.invalid, advice.future) == (invalid, future)
    assert sum(count for _, count in advice.disorder) == advice.accepted


@settings(max_examples=80)
# A tick that only counts what came too late for it holds a row too.
@example([(0, 0, "BE", "view", 0), (0, -120_001, "BE", "view", 0)], "cumulative", "3m")
@example(
    [(0, -299_897, None, "view", 0), (1, -2, None, "broken", 0), (0, 0, "NL", "view", 0)],
    "sliding",
    "0s",
)
@given(logs, st.sampled_from(sorted(WINDOWS.keys() - {"session"})), st.sampled_from(["0s", "3m"]))
def test_rows_held_are_the_engines(log: list[Event], kind: str, allowed: str) -> None:
    plan = windowed(kind, allowed)
    (found,) = simulate(plan, [written(log)]).metrics
    assert found.held.rows == greatest_held(plan, written(log))


@settings(max_examples=50)
@given(logs, st.sampled_from(sorted(WINDOWS)), st.sampled_from(["0s", "3m"]))
def test_what_is_too_late_for_any_kind_of_window_is_the_engines(
    log: list[Event], kind: str, allowed: str
) -> None:
    plan = windowed(kind, allowed)
    (found,) = simulate(plan, [written(log)]).metrics
    (fate,) = (f for f in found.fates if f.lateness_ms == found.declared_ms)
    assert fate.too_late == counted(plan, written(log), [7, 20]).too_late
    assert fate.in_time + fate.corrected + fate.too_late == found.events


@pytest.mark.parametrize(
    ("kind", "behind_s", "fate"),
    [
        ("sliding", 29, (2, 0, 0)),  # seconds behind 12:04:30, with a bound of 2 s
        ("sliding", 28 + 60, (1, 1, 0)),  # 12:03:02: its first window ended at 12:04
        ("sliding", 28 + 60 * 4, (1, 1, 0)),
        ("cumulative", 31, (1, 1, 0)),  # the tick that ends at 12:04 had closed
        ("cumulative", 29, (2, 0, 0)),
        ("session", 29, (2, 0, 0)),  # its row is yet to come
        ("session", 5 * 60, (1, 0, 1)),
    ],
)
def test_event_is_late_for_the_first_of_its_windows_to_end(
    kind: str, behind_s: int, fate: tuple[int, int, int]
) -> None:
    newest = NOON + 270_000
    whole = batch([(0, event(t, "BE"), -1) for t in (newest, newest - behind_s * 1000)])
    (found,) = simulate(windowed(kind, "3m"), [whole]).metrics
    (declared,) = (f for f in found.fates if f.lateness_ms == 180_000)
    assert (declared.in_time, declared.corrected, declared.too_late) == fate


def test_sessions_are_held_until_nothing_can_touch_them() -> None:
    at = [0, 60, 240, 300, 301, 900]  # three sessions; the last event ends two
    messages = [(0, event(NOON + second * 1000, "BE"), -1) for second in at]
    (found,) = simulate(windowed("session", "3m"), [batch(messages)]).metrics
    assert found.held.rows == 3
    (found,) = simulate(windowed("session", "0s"), [batch(messages)]).metrics
    assert found.held.rows == 2


def test_many_overlapping_windows_are_sampled_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelinekit.runtime import simulated_rows

    keys = [f"k{number}" for number in range(2_000)]
    whole = batch([(0, event(NOON, key), -1) for key in keys])
    (exact,) = simulate(windowed("sliding", "3m"), [whole]).metrics
    assert exact.held.rows == 2_000 * 5
    monkeypatch.setattr(simulated_rows, "_ROWS_MAX", 2_500)
    (sampled,) = simulate(windowed("sliding", "3m"), [whole]).metrics
    assert sampled.held.rows == pytest.approx(10_000, rel=0.2)


def greatest_held(plan: Plan, whole: RawBatch) -> int:
    """The most rows in the engine's panes when the watermark moves after each message."""
    ingest = Ingest(plan.source, plan.metrics, {})
    store = PaneStore(plan.source, [Metric(m, tables_of(m)) for m in plan.metrics], 1)
    times = {int(p): PartitionTime(0) for p in np.unique(whole.partitions)}
    counts = ingest.take(whole, times, whole.broker_times_ms).counts
    # A partition of which nothing was accepted is unknown to the advisor.
    accepted = {p for name, p, outcome in counts if not name and outcome is Outcome.ACCEPTED}
    greatest = 0
    for place in range(len(whole)):
        piece = part(whole, place, place + 1)
        result = ingest.take(piece, times, piece.broker_times_ms)
        times |= result.partitions
        for partial in result.partials:
            store.merge(partial, 0)
        greatest = max(greatest, store.held_rows)
        store.flush(0, everything=True)
        if accepted:
            store.advance(min(times[p].watermark_ms for p in accepted))
    return greatest


def test_recommendation_keeps_what_it_says() -> None:
    project, _ = load(Path(__file__).parents[2] / "specs")
    (plan,) = build(resolve(project))
    stream = ClickStream(7, Shares(late=0.02, malformed=0.001))
    messages = [stream.message(n, NOON + n * 10) for n in range(20_000)]
    whole = batch([(n % 4, m.value, -1) for n, m in enumerate(messages)])
    advice = simulate(plan, [part(whole, 0, 7_000), part(whole, 7_000, 20_000)])
    assert advice.recommended_out_of_orderness_ms == 60_000 * 5
    assert advice.metrics
    source = replace(plan.source, out_of_orderness_ms=advice.recommended_out_of_orderness_ms)
    for found in advice.metrics:
        metric = replace(plan.metric(found.metric), allowed_lateness_ms=found.recommended_ms)
        after = counted(replace(plan, source=source, metrics=(metric,)), whole, [100, 5_000])
        assert after.too_late <= 0.001 * found.events
        assert found.held.bytes > found.held.rows > 0


@pytest.mark.parametrize(
    ("behind", "bound", "lateness"),
    [
        ([0] * 100, 0, 0),
        ([0] * 98 + [1_500] * 2, 2_000, 2_000),
        ([0] * 99 + [90_000], 0, 60_000),  # 30 s to the end of its window
        ([0] * 99 + [3 * 86_400_000 + 3_600_000], 0, 4 * 86_400_000),
    ],
)
def test_recommended_durations_are_round(behind: list[int], bound: int, lateness: int) -> None:
    """A hundred events at 12:00:30, some of them so far behind."""
    whole = batch([(0, event(NOON + 30_000 - b, "BE"), -1) for b in behind])
    advice = simulate(plan_of(HEAD), [whole])
    assert advice.recommended_out_of_orderness_ms == bound
    assert advice.metrics[0].recommended_ms == lateness


def test_wall_clock_stands_in_for_a_broker_that_stamps_nothing() -> None:
    whole = batch([(0, event(NOON, "BE"), -1), (0, event(NOON + 90_000, "BE"), NOON + 90_000)])
    assert simulate(plan_of(HEAD), [whole]).future == 0
    assert simulate(plan_of(HEAD), [whole], now_ms=NOON).future == 1


# --- files ----------------------------------------------------------------------------------------


def advice_of(file: Path) -> Advice:
    return simulate(plan_of(HEAD), from_file(file))


def test_file_of_lines_and_of_columns_are_the_same(tmp_path: Path) -> None:
    import datetime as dt
    from decimal import Decimal

    import polars as pl

    times = [dt.datetime(2024, 1, 1, 12, minute, 5, 250_000) for minute in (0, 1, 9, 2, 3)]
    columns = {
        "id": [f"e{n}" for n in range(5)],
        "t": times,
        "kind": ["view"] * 5,
        "country": ["BE", None, "NL", "BE", "BE"],
        "amount": pl.Series([Decimal("1.50")] * 5, dtype=pl.Decimal(18, 2)),
        "load": [1, 2, 3, 4, 5],
        "bot": [False] * 5,
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "naive.parquet")
    zoned = pl.Series(times).dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Brussels")
    pl.DataFrame({**columns, "t": zoned}).write_parquet(tmp_path / "zoned.parquet")
    lines = [
        json.dumps({"id": i, "t": f"{t:%Y-%m-%dT%H:%M:%S}.250Z", "kind": "view", "country": c})
        for i, t, c in zip(columns["id"], times, columns["country"], strict=True)
    ]
    (tmp_path / "lines.ndjson").write_text("\n".join(lines) + "\n\n")
    values = pl.DataFrame({"value": lines, "partition": [0] * 5, "timestamp": [NOON + 600_000] * 5})
    values.write_parquet(tmp_path / "messages.parquet")
    names = ("lines.ndjson", "naive.parquet", "zoned.parquet", "messages.parquet")
    first, *others = (advice_of(tmp_path / name) for name in names)
    assert (first.messages, first.invalid, first.metrics[0].events) == (5, 0, 5)
    assert others == [first] * 3


def test_messages_of_parquet_have_partitions_and_broker_times(tmp_path: Path) -> None:
    import datetime as dt

    import polars as pl

    moment = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    frame = pl.DataFrame(
        {
            "value": [event(NOON, "BE"), event(NOON + 3_600_000, "BE"), None],
            "partition": [3, 5, 5],
            "timestamp": pl.Series([moment] * 3, dtype=pl.Datetime("us", "UTC")),
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    advice = advice_of(tmp_path / "x.parquet")
    assert (advice.messages, advice.invalid, advice.future) == (3, 1, 1)
    (read,) = from_file(tmp_path / "x.parquet")
    assert read.partitions.tolist() == [3, 5, 5]
    assert read.broker_times_ms.tolist() == [NOON] * 3
