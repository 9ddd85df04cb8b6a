"""Random logs, batch splits, shard counts and restarts: the engine agrees with the naive model."""

from __future__ import annotations

import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from pipelinekit.engine.placing import Bounds
from pipelinekit.plan.model import KeyPlan
from pipelinekit.spec.expressions.tree import WINDOW_SECONDS
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import Sliding
from pipelinekit.windows.tumbling import Tumbling
from tests import plans
from tests.oracle import model
from tests.oracle.harness import Harness

BASE_MS = 1_704_110_400_000  # 2024-01-01T12:00:00Z
BOUND_MS, SKEW_MS = 2_000, 60_000
FLOOR_MS = BASE_MS + 120_000
FAR_PAST_MS = -(2**62)
EXAMPLES = int(os.environ.get("PIPELINEKIT_ORACLE_EXAMPLES", "150"))

_MEASURES = [
    plans.measure("n", "count()"),
    plans.measure("views", "count()", filter="kind = 'view'"),
    plans.measure("scored", "count(score)"),
    plans.measure("revenue", "sum(amount)"),
    plans.measure("load_sum", "sum(load)"),
    plans.measure("score_sum", "sum(score)"),
    plans.measure("load_min", "min(load)"),
    plans.measure("score_max", "max(score)"),
    plans.measure("user_min", "min(user)"),
    plans.measure("load_avg", "avg(load)"),
    plans.measure("load_variance", "variance(load)"),
    plans.measure("score_stddev", "stddev(score)"),
    plans.measure("loads", "histogram(load, [0, 5, 6])"),
    plans.measure("amounts", "histogram(amount, [-3.5, 0.25])", filter="kind = 'view'"),
    plans.measure("top_users", "most_frequent(user, 2)", max_values=3),
    plans.measure("top_loads", "most_frequent(load, 10)", max_values=10, filter="not bot"),
    plans.measure("first_kind", "first(kind)"),
    plans.measure("last_user", "last(user)", filter="kind != 'click'"),
    plans.measure("users", "count_distinct(user)", max_values=3),
    plans.measure("any_bot", "any_true(bot)"),
    plans.measure(
        "funnel", "funnel_step(kind = 'view', load >= 5, kind = 'click', bot)", max_values=4
    ),
    plans.measure("all_big", "all_true(load > 5)"),
]
_FEW = [
    plans.measure("n", "count()"),
    plans.measure("loads", "sum(load)"),
    plans.measure("users", "count_distinct(user)", max_values=3),
    plans.measure("last_user", "last(user)", filter="kind != 'click'"),
    plans.measure("top_users", "most_frequent(user, 2)", max_values=3),
    plans.measure("bought", "funnel_step(kind = 'view', kind = 'conversion')", max_values=1),
]
_VISITS = [*_FEW, plans.derived("rate", f"n / {WINDOW_SECONDS}", _FEW)]
_MEASURES.append(plans.derived("share", "views / n", _MEASURES))
METRICS = [
    plans.metric(
        "rich", _MEASURES, key=["country"], allowed_ms=60_000, rollups=[Tumbling(300_000)]
    ),
    plans.metric(
        "folded",
        [plans.measure("n", "count()"), plans.measure("loads", "sum(load)")],
        key=[
            KeyPlan("who", plans.expression("coalesce(user, 'none')"), values=("u1", "u2")),
            "bot",
        ],
        filter="not bot or kind = 'view'",
        window=Tumbling(10_000),
        allowed_ms=0,
    ),
    plans.metric("total", [plans.measure("n", "count()")], allowed_ms=5_000),
    plans.metric("floored", [plans.measure("n", "count()")], key=["kind"], allowed_ms=30_000),
    plans.metric("slid", _FEW, key=["country"], window=Sliding(60_000, 20_000), allowed_ms=25_000),
    plans.metric("slid_floored", _FEW, window=Sliding(60_000, 10_000), allowed_ms=0),
    plans.metric(
        "so_far",
        _FEW,
        key=["country"],
        window=Cumulative(Tumbling(300_000), 40_000),  # the last tick of a period is a short one
        allowed_ms=30_000,
    ),
    plans.metric(
        "visits", _VISITS, key=["user"], window=Session(30_000, 200_000), allowed_ms=60_000
    ),
    plans.metric(
        "short_visits",
        _FEW,
        key=["country", "kind"],
        window=Session(10_000, 60_000),
        filter="not bot",
        allowed_ms=0,
    ),
]


def _values(events: list[dict], name: str) -> list:
    return [e[name] for e in events if e[name] is not None]


def _total(events: list[dict], name: str) -> object:
    found = _values(events, name)
    return sum(found) if found else None


def _ordered(events: list[dict], name: str) -> list:
    return sorted((e["t"], e["id"], e[name]) for e in events if e[name] is not None)


def _distinct(events: list[dict]) -> int | None:
    count = len(set(_values(events, "user")))
    return count if count <= 3 else None


def _views(events: list[dict]) -> int:
    return sum(e["kind"] == "view" for e in events)


def _not_clicks(events: list[dict]) -> list[dict]:
    return [e for e in events if e["kind"] != "click"]


def _mean(events: list[dict]) -> float | None:
    found = _values(events, "load")
    return float(sum(found) / len(found)) if found else None


def _variance(events: list[dict], name: str) -> float | None:
    found = [Fraction(v) for v in _values(events, name)]
    if len(found) < 2:
        return None
    mean = sum(found) / len(found)
    return float(sum((v - mean) ** 2 for v in found) / (len(found) - 1))


def _bins(values: list, bounds: tuple) -> list[int]:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[sum(bound <= value for bound in bounds)] += 1
    return counts


def _top(values: list, k: int, max_values: int) -> list[dict] | None:
    counts = Counter(values)
    if len(counts) > max_values:
        return None
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"value": value, "count": count} for value, count in by_count[:k]]


def _rate(events: list[dict]) -> float | None:
    times = [e["t"] for e in events]
    span = max(times) - min(times)
    return len(events) * 1000 / span if span else None


def _is(kind: str) -> Callable[[dict], bool]:
    return lambda e: e["kind"] == kind


def _is_big(event: dict) -> bool:
    return event["load"] is not None and event["load"] >= 5


def _is_bot(event: dict) -> bool:
    return bool(event["bot"])


def _funnel(
    events: list[dict], steps: Sequence[Callable[[dict], bool]], max_values: int
) -> int | None:
    """Every way to take the steps; of the events that are kept one by one there may be so many."""
    found = {(e["t"], frozenset(i for i, s in enumerate(steps) if s(e))) for e in events}
    ends = ({0}, {len(steps) - 1}, set())
    if len([met for _, met in found if met not in ends]) > max_values:
        return None

    def best(step: int, time: int, left: frozenset) -> int:
        ways = [e for e in left if e[0] >= time and step in e[1]]
        return max((best(step + 1, e[0], left - {e}) for e in ways), default=step)

    return best(0, FAR_PAST_MS, frozenset(found))


def _all_big(events: list[dict]) -> bool | None:
    found = _values(events, "load")
    return all(v > 5 for v in found) if found else None


MODEL = [
    model.Metric(
        "rich",
        key=lambda e: (e["country"],),
        keep=lambda e: True,
        sizes=(60_000, 300_000),
        allowed_ms=60_000,
        results={
            "n": len,
            "views": _views,
            "scored": lambda es: len(_values(es, "score")),
            "revenue": lambda es: _total(es, "amount"),
            "load_sum": lambda es: _total(es, "load"),
            "score_sum": lambda es: math.fsum(f) if (f := _values(es, "score")) else None,
            "load_min": lambda es: min(_values(es, "load"), default=None),
            "score_max": lambda es: max(_values(es, "score"), default=None),
            "user_min": lambda es: min(_values(es, "user"), default=None),
            "load_avg": _mean,
            "load_variance": lambda es: _variance(es, "load"),
            "score_stddev": lambda es: None if (v := _variance(es, "score")) is None else v**0.5,
            "loads": lambda es: _bins(_values(es, "load"), (0, 5, 6)),
            "amounts": lambda es: _bins(
                [e["amount"] for e in es if e["kind"] == "view" and e["amount"] is not None],
                (Decimal("-3.5"), Decimal("0.25")),
            ),
            "top_users": lambda es: _top(_values(es, "user"), 2, 3),
            "top_loads": lambda es: _top(_values([e for e in es if not e["bot"]], "load"), 10, 10),
            "first_kind": lambda es: _ordered(es, "kind")[0][2],
            "last_user": lambda es: f[-1][2] if (f := _ordered(_not_clicks(es), "user")) else None,
            "users": _distinct,
            "any_bot": lambda es: any(e["bot"] for e in es),
            "funnel": lambda es: _funnel(es, (_is("view"), _is_big, _is("click"), _is_bot), 4),
            "all_big": _all_big,
            "share": lambda es: _views(es) / len(es),
        },
    ),
    model.Metric(
        "folded",
        key=lambda e: (u if (u := e["user"] or "none") in ("u1", "u2") else "__other__", e["bot"]),
        keep=lambda e: not e["bot"] or e["kind"] == "view",
        sizes=(10_000,),
        allowed_ms=0,
        results={"n": len, "loads": lambda es: _total(es, "load")},
    ),
    model.Metric("total", lambda e: (), lambda e: True, {"n": len}, (60_000,), 5_000),
    model.Metric(
        "floored", lambda e: (e["kind"],), lambda e: True, {"n": len}, (60_000,), 30_000, FLOOR_MS
    ),
]

_FEW_RESULTS = {
    "n": len,
    "top_users": lambda es: _top(_values(es, "user"), 2, 3),
    "loads": lambda es: _total(es, "load"),
    "users": _distinct,
    "last_user": lambda es: f[-1][2] if (f := _ordered(_not_clicks(es), "user")) else None,
    "bought": lambda es: _funnel(es, (_is("view"), _is("conversion")), 1),
}
MODEL += [
    model.Metric(
        "slid", lambda e: (e["country"],), lambda e: True, _FEW_RESULTS, (60_000, 20_000), 25_000,
        kind="sliding",
    ),
    model.Metric(
        "slid_floored", lambda e: (), lambda e: True, _FEW_RESULTS, (60_000, 10_000), 0, FLOOR_MS,
        kind="sliding",
    ),
    model.Metric(
        "so_far", lambda e: (e["country"],), lambda e: True, _FEW_RESULTS, (300_000, 40_000),
        30_000, kind="cumulative",
    ),
    model.Metric(
        "visits", lambda e: (e["user"],), lambda e: True, _FEW_RESULTS | {"rate": _rate},
        (30_000, 200_000), 60_000, kind="session",
    ),
    model.Metric(
        "short_visits", lambda e: (e["country"], e["kind"]), lambda e: not e["bot"], _FEW_RESULTS,
        (10_000, 60_000), 0, kind="session",
    ),
]  # fmt: skip

# Mostly forward in time, with jumps back into and beyond the allowed lateness, and ahead.
_STEPS = st.sampled_from([0, 100, 1_000, 5_000, 20_000, 61_000])
_BACK = st.sampled_from([0, 0, 0, 500, 2_000, 2_001, 30_000, 60_000, 62_000, 125_000, 400_000])
_BAD = st.sampled_from(
    [b"", b"{", b"\xff", b"[]", b'{"t": 5}', b'{"id": "x", "t": "soon", "kind": "v"}', None]
)


@st.composite
def _logs(draw: st.DrawFn) -> dict[int, list[model.Message]]:
    log = {}
    for partition in range(draw(st.integers(1, 4))):
        at = BASE_MS
        messages = []
        for number in range(draw(st.integers(0, 25))):
            at += draw(_STEPS)
            messages.append(_message(draw, partition, number, at))
        log[partition] = messages
    return log


def _message(draw: st.DrawFn, partition: int, number: int, at: int) -> model.Message:
    if draw(st.integers(0, 15)) == 0:
        return model.Message(draw(_BAD), at)
    time = at - draw(_BACK)
    if draw(st.integers(0, 20)) == 0:
        time = at + SKEW_MS + draw(st.integers(0, 2))
    rng = random.Random(draw(st.integers(0, 2**16)))
    event = {
        "id": f"{partition}-{number}" if rng.random() < 0.8 else "same",
        "t": time,
        "kind": rng.choice(["view", "click", "conversion"]),
        "country": rng.choice(["BE", "NL", "", None]),
        "user": rng.choice(["u1", "u2", "u3", "u4", "é", None]),
        "amount": rng.choice([1, 0.25, -3.5, 99999.99, None]),
        "load": rng.choice([0, 5, 6, -(2**63), 2**63 - 1, None]),
        "score": rng.choice([0.1, 0.2, 1e9, -0.5, None]),
        "bot": rng.random() < 0.3,
    }
    return model.Message(json.dumps({k: v for k, v in event.items() if v is not None}).encode(), at)


@pytest.mark.timeout(3600)
@seed(int(os.environ.get("PIPELINEKIT_ORACLE_SEED", "20240101")))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.generate, Phase.shrink)
    if os.environ.get("PIPELINEKIT_ORACLE_SHRINK")
    else (Phase.generate,),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    log=_logs(),
    script=st.integers(0, 2**32),
    shards=st.integers(1, 3),
    buckets=st.sampled_from([1, 2, 5]),
    rows_max=st.sampled_from([None, 1, 7]),
)
def test_engine_agrees_with_the_naive_model(
    log: dict, script: int, shards: int, buckets: int, rows_max: int | None
) -> None:
    rng = random.Random(script)
    harness = Harness(
        plans.source(out_of_orderness_ms=BOUND_MS, max_future_skew_ms=SKEW_MS),
        METRICS,
        log,
        shards=shards,
        buckets=buckets,
        rng=rng,
        bounds={"floored": Bounds(FLOOR_MS), "slid_floored": Bounds(FLOOR_MS)},
        rows_max=rows_max,
    )
    limits = dict.fromkeys(log, 0)
    for _ in range(rng.randint(1, 4)):
        limits = {p: rng.randint(limits[p], len(m)) for p, m in log.items()}
        harness.read(limits)
        if rng.random() < 0.5:
            harness.mark_idle([p for p in log if rng.random() < 0.5])
        if rng.random() < 0.5:
            harness.restart(rng.randint(1, 3), rng.choice([1, 3, 4]))
    harness.read({p: len(m) for p, m in log.items()})
    harness.finish()

    expected = model.answer(log, MODEL, bound_ms=BOUND_MS, skew_ms=SKEW_MS, raises=harness.raises)
    note(f"raises: {harness.raises}")
    letters = {(x.partition, x.offset): (x.reason.value, x.metrics) for x in harness.letters}
    assert letters == expected.letters
    assert len(harness.letters) == len(expected.letters)
    for letter in harness.letters:
        assert letter.value == log[letter.partition][letter.offset].value
    counts = Counter({(m, p, o.value): c for (m, p, o), c in harness.ledger.counts.items()})
    assert counts == expected.ledger
    read = {p: len(m) for p, m in log.items()}
    assert harness.ledger.imbalances(read, [m.name for m in METRICS]) == []
    assert harness.rows.keys() == expected.table.keys()
    for identity, row in expected.table.items():
        _assert_row(identity, harness.rows[identity], row)


def _assert_row(identity: tuple, actual: dict, expected: dict) -> None:
    for column, value in expected.items():
        found = actual[column]
        if isinstance(value, float) and found is not None:
            assert found == pytest.approx(value, rel=1e-9, abs=1e-6), (identity, column)
        elif isinstance(value, Decimal) or isinstance(found, Decimal):
            assert found == value, (identity, column)
        else:
            assert found == value, (identity, column, found, value)
            assert type(found) is type(value), (identity, column)
