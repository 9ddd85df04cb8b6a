"""How many values of a key a window holds is what its rows say, in any split of the events."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest

from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.key_values import KeyCount, KeyTotals
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.model import KeyPlan, MetricPlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import Sliding
from pipelinekit.windows.tumbling import Tumbling
from tests import plans
from tests.oracle.harness import Harness
from tests.oracle.model import Message
from tests.small_logs import batch

BASE_MS = 1_704_110_400_000
SLIDING, SO_FAR = Sliding(60_000, 20_000), Cumulative(Tumbling(300_000), 20_000)
COUNT = [plans.measure("n", "count()")]


def watched(name: str, limit: int = 3) -> KeyPlan:
    return KeyPlan(name, plans.expression(name), max_values=limit)


METRICS = [
    plans.metric("one", COUNT, key=[watched("user")], rollups=[Tumbling(3_600_000)]),
    plans.metric("two", COUNT, key=["country", watched("user")]),
    plans.metric("both", COUNT, key=[watched("country"), watched("user")]),
    plans.metric("slid", COUNT, key=[watched("user")], window=SLIDING),
    plans.metric("slid_two", COUNT, key=[watched("user"), "kind"], window=SLIDING),
    plans.metric("so_far", COUNT, key=[watched("user")], window=SO_FAR),
    plans.metric("so_far_two", COUNT, key=["kind", watched("user")], window=SO_FAR,
                 allowed_ms=10_000),
    plans.metric("unwatched", COUNT, key=["user"]),
]  # fmt: skip


@dataclass
class Counting(Harness):
    """Takes the counts as a run does; `counts` has the last of each bucket."""

    counts: dict[tuple, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))

    def _advance(self) -> None:
        for bucket, store in enumerate(self._stores):
            for count in store.take_key_counts():
                self.counts[(count.metric, count.key, count.start_ms)][bucket] = count.values
        super()._advance()

    def in_rows(self) -> dict[tuple, set]:
        """The values in each window's rows, of the metrics' own windows."""
        found: dict[tuple, set] = defaultdict(set)
        for name, size_ms, key, start_ms in self.rows:
            metric = next(m for m in METRICS if m.name == name)
            if name == "one" and size_ms > 60_000:
                continue  # the rollup
            columns = [k for k in key if not hasattr(k, "year")]
            for place, key_plan in enumerate(metric.key):
                if key_plan.max_values is not None:
                    found[(name, key_plan.name, start_ms)].add(columns[place])
        return found


def log_of(rng: random.Random, count: int = 60) -> dict[int, list[Message]]:
    log: dict[int, list[Message]] = {0: [], 1: []}
    at = BASE_MS
    for number in range(count):
        at += rng.choice([0, 3_000, 9_000, 20_000])
        event = {
            "id": str(number), "t": at - rng.choice([0, 0, 1_000, 30_000, 200_000, 700_000]),
            "kind": rng.choice("vc"), "country": rng.choice(["BE", "NL"]),
            "user": rng.choice([f"u{rng.randrange(9)}", None]), "bot": False,
        }  # fmt: skip
        value = json.dumps({k: v for k, v in event.items() if v is not None}).encode()
        log[rng.randrange(2)].append(Message(value, at))
    return log


def read(seed: int, buckets: int, *, restarts: int = 0) -> Counting:
    rng = random.Random(seed)
    log = log_of(rng)
    harness = Counting(plans.source(), METRICS, log, shards=2, buckets=buckets, rng=rng)
    for part in range(1, restarts + 1):
        harness.read({p: len(m) * part // (restarts + 1) for p, m in log.items()})
        harness.restart(2, buckets)
    harness.read({p: len(m) for p, m in log.items()})
    harness.finish()
    return harness


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("restarts", [0, 2])
def test_counts_are_those_of_the_rows(seed: int, restarts: int) -> None:
    harness = read(seed, 1, restarts=restarts)
    expected = {window: len(values) for window, values in harness.in_rows().items()}
    assert {window: of[0] for window, of in harness.counts.items()} == expected
    assert {name for name, _, _ in expected} == {m.name for m in METRICS} - {"unwatched"}
    assert max(expected.values()) > 3


@pytest.mark.parametrize("seed", range(2))
def test_buckets_add_up_for_a_whole_key_and_bound_a_part_of_one_from_below(seed: int) -> None:
    harness = read(seed, 3)
    for window, values in harness.in_rows().items():
        of = harness.counts[window]
        if window[0] in ("one", "slid", "so_far"):
            assert sum(of.values()) == len(values), window
        else:
            assert max(of.values()) <= len(values) <= sum(of.values()), window


# --- one store, step by step --------------------------------------------------------------------


class Store:
    """One bucket of one metric, fed events of [seconds, country, user]."""

    def __init__(self, metric: MetricPlan) -> None:
        source = plans.source(out_of_orderness_ms=0)
        self.panes = PaneStore(source, [Metric(metric, tables_of(metric))], 1)
        self._ingest = Ingest(source, [metric], {})
        self._time = {0: PartitionTime(0)}

    def take(self, *events: tuple[int, str, str | None]) -> None:
        values = [
            json.dumps({"id": "x", "t": BASE_MS + s * 1000, "kind": "v", "country": c, "user": u})
            for s, c, u in events
        ]
        whole = batch([(0, v.encode(), 2**60) for v in values])
        taken = self._ingest.take(whole, self._time, whole.broker_times_ms)
        assert not taken.dead_letters
        for partial in taken.partials:
            self.panes.merge(partial, 0)

    def counts(self) -> list[tuple[str, int, int]]:
        """Key, start in s, and values of what is told anew."""
        return [
            (c.key, (c.start_ms - BASE_MS) // 1000, c.values) for c in self.panes.take_key_counts()
        ]


def test_only_what_changed_is_told() -> None:
    store = Store(plans.metric("m", COUNT, key=[watched("user")]))
    store.take((1, "BE", "a"), (2, "BE", None), (61, "BE", "a"))
    assert store.counts() == [("user", 0, 2), ("user", 60, 1)]
    store.take((3, "BE", "a"))
    assert store.counts() == []
    store.take((3, "BE", "b"))
    assert store.counts() == [("user", 0, 3)]


def test_of_sessions_it_is_how_many_keys_have_one_open() -> None:
    session = Session(30_000, 3_600_000)
    one = Store(plans.metric("m", COUNT, key=[watched("user")], window=session, allowed_ms=0))
    two = Store(
        plans.metric("m", COUNT, key=["country", watched("user")], window=session, allowed_ms=0)
    )
    for store in (one, two):
        store.take((0, "BE", "a"), (1, "BE", "b"), (2, "NL", "b"), (20, "BE", "c"))
        assert store.counts() == [("user", 0, 3)]
        store.panes.advance(BASE_MS + 40_000)  # a and b are over, c is not
        store.take((41, "BE", "d"))
        assert store.counts() == [("user", 0, 2)]
        store.take((41, "NL", "e"), (45, "NL", "d"))
        store.panes.advance(BASE_MS + 200_000)
        store.take((201, "NL", "f"))
        assert store.counts() == [("user", 0, 3)]  # the most since then, though all but f are over
        assert store.counts() == [("user", 0, 1)]  # and what that came to
        assert store.counts() == []


def test_restored_sessions_are_counted_among_the_open_ones() -> None:
    metric = plans.metric("m", COUNT, key=[watched("user")], window=Session(30_000, 3_600_000))
    before, after = Store(metric), Store(metric)
    before.take((0, "BE", "a"), (1, "BE", "b"))
    for saved in before.panes.changed_rows():
        after.panes.restore(saved)
    after.take((2, "BE", "c"))
    assert after.counts() == [("user", 0, 3)]


def test_forgotten_windows_take_their_values_with_them() -> None:
    store = Store(plans.metric("m", COUNT, key=["country", watched("user")], allowed_ms=0))
    store.take((1, "BE", "a"), (2, "BE", "b"))
    store.panes.advance(BASE_MS + 60_000)
    (grain,) = store.panes._all_grains()
    assert grain.key_counter is not None
    assert grain.key_counter._windows == {}
    assert store.counts() == [("user", 0, 2)]  # told nevertheless


def test_older_form_of_a_metric_is_not_counted() -> None:
    metric = plans.metric("m", COUNT, key=[watched("user")])
    store = Store(replace(metric, is_retired=True))
    store.take((1, "BE", "a"))
    assert store.counts() == []


# --- totals -------------------------------------------------------------------------------------


def count(metric: str, key: str, values: int, start_ms: int = 0) -> KeyCount:
    return KeyCount(metric, key, start_ms, start_ms + 60_000, values)


def test_window_beyond_the_limit_is_told_once_with_the_most_seen() -> None:
    totals = KeyTotals([plans.metric("m", COUNT, key=[watched("user", 10)])])
    assert totals.add(0, [count("m", "user", 6)]) == []
    assert totals.add(1, [count("m", "user", 4)]) == []  # 10 are not beyond 10
    assert totals.excesses == {}
    assert totals.add(1, [count("m", "user", 5)]) == ["m.user"]
    assert totals.add(1, [count("m", "user", 9)]) == []
    assert totals.add(0, [count("m", "user", 11, 60_000)]) == ["m.user"]
    excess = totals.excesses["m.user"]
    assert (excess.limit, excess.windows, excess.most) == (10, 2, 15)
    totals.forget(60_000)
    assert totals.add(0, [count("m", "user", 12, 60_000)]) == []  # not forgotten, so told already


def test_part_of_a_key_is_held_to_the_fullest_bucket() -> None:
    totals = KeyTotals([plans.metric("m", COUNT, key=["country", watched("user", 10)])])
    assert totals.add(0, [count("m", "user", 9)]) == totals.add(1, [count("m", "user", 9)]) == []
    assert totals.add(1, [count("m", "user", 11)]) == ["m.user"]
    assert totals.excesses["m.user"].most == 11


def test_counts_of_a_key_that_is_not_watched_any_more_are_nothing() -> None:
    totals = KeyTotals([plans.metric("m", COUNT, key=["user"])])
    assert totals.add(0, [count("m", "user", 10**6), count("gone", "user", 10**6)]) == []
    assert totals.excesses == {}
