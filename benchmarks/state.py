"""State at scale: 20 k, 250 k and 1 M keys in a one-minute metric with ten minutes of lateness.

    uv run python -m benchmarks.state

Drives the pane store as the local runner does, with synthetic slices at a rate of `--rate` events
a second of event time: how long a merge, a flush and a checkpoint take, what they write, and the
memory at the end, when all windows that lateness keeps are held.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl

from benchmarks.queries import plan_of
from pipelinekit.engine.ingest import Partial
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.state import JobState

START_MS = 1_704_110_400_000
SLICE_MS, FLUSH_MS, CHECKPOINT_MS = 100, 200, 5_000


def measure(keys: int, rate: int, minutes: int) -> dict:
    source, metric = plan_of("Q3")
    store = PaneStore(source, [Metric(metric, tables_of(metric))], 1)
    rng = np.random.default_rng(1)
    names = np.array([f"u{i}" for i in range(keys)], dtype=object)
    merges, flushes, checkpoints, sizes, written = [], [], [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        saved = CheckpointStore(Path(folder))
        per_slice = rate * SLICE_MS // 1000
        for step in range(minutes * 60_000 // SLICE_MS):
            now = START_MS + step * SLICE_MS
            drawn, counts = np.unique(rng.integers(0, keys, per_slice), return_counts=True)
            partial = Partial("clicks", 0, _frame(names[drawn].tolist(), counts, now))
            began = time.perf_counter()
            store.merge(partial, now)
            merges.append(time.perf_counter() - began)
            store.advance(now - 5_000)
            if now % FLUSH_MS == 0:
                began = time.perf_counter()
                written += sum(len(u) for u in store.flush(now))
                flushes.append(time.perf_counter() - began)
            if now % CHECKPOINT_MS == 0:
                began = time.perf_counter()
                whole = saved.panes_to_save_whole(store.pane_sizes())
                rows = store.changed_rows(whole)
                blocked = time.perf_counter() - began
                before = saved.bytes_written
                segment = saved.write_segment(step, rows)
                state = JobState("bench", 1, 1, 1, "", 5_000, number=step)
                saved.commit(state, segment, store.pane_sizes())
                checkpoints.append((blocked, time.perf_counter() - began))
                sizes.append(saved.bytes_written - before)
        saved.close()
    tail = len(checkpoints) // 2
    return {
        "keys": keys, "rate": rate, "rows_held": store.held_rows,
        "merge_ms_p50": _ms(statistics.median(merges)), "merge_ms_greatest": _ms(max(merges)),
        "flush_ms_p50": _ms(statistics.median(flushes)), "flush_ms_greatest": _ms(max(flushes)),
        "checkpoint_blocks_ms_p50": _ms(statistics.median(b for b, _ in checkpoints[tail:])),
        "checkpoint_blocks_ms_greatest": _ms(max(b for b, _ in checkpoints)),
        "checkpoint_ms_p50": _ms(statistics.median(t for _, t in checkpoints[tail:])),
        "checkpoint_mib_p50": round(statistics.median(sizes[tail:]) / 2**20, 1),
        "rows_written_per_second": round(written / (minutes * 60)),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }  # fmt: skip


def _frame(keys: list[str], counts: np.ndarray, now: int) -> pl.DataFrame:
    n = counts.astype(np.int64)
    return pl.DataFrame(
        {
            "key_0": pl.Series(keys, dtype=pl.String),
            "__start": np.full(len(n), now - now % 60_000),
            "__events": n, "n.n": n, "total.total": n * 1.5, "total.n": n,
        }
    )  # fmt: skip


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, nargs="*", default=[20_000, 250_000, 1_000_000])
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--minutes", type=int, default=13)
    given = parser.parse_args()
    for keys in given.keys:
        print(json.dumps(measure(keys, given.rate, given.minutes)), flush=True)


if __name__ == "__main__":
    main()
