"""The runner killed while windows of every kind are open: rows as the naive model has them."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import model
from tests.system import recount
from tests.system.test_kills import Job, kill_while_loading

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]
SHARED = """\
source: clicks
measures:
  n: count()
  total: sum(amount)
  users: { measure: count_distinct(user_id), max_values: 40 }
  step: { measure: "funnel_step(event_type = 'view', is_bot, amount is not null)", max_values: 60 }
lateness: { allowed: 1m }
sink: store
"""
METRICS = {
    "visits": "key: [session_id]\nwindow: { session: 2s, max: 1m }\n",
    "so_far": "key: [country]\nwindow: { cumulative: 1m, every: 10s }\n",
    "rolling": "key: [country]\nwindow: { sliding: 30s, every: 10s }\nfilter: not is_bot\n",
}
PROJECT = {
    **{k: v for k, v in recount.PROJECT.items() if not k.startswith("metrics/")},
    **{
        f"metrics/{name}.yaml": f"kind: metric\nname: {name}\n{own}{SHARED}"
        for name, own in METRICS.items()
    },
}
TABLES = {
    "visits": ("visits_session", "session_id"),
    "so_far": ("so_far_1m", "country"),
    "rolling": ("rolling_30s", "country"),
}


def parse(value: bytes | None) -> dict[str, Any] | None:
    event = recount.parse(value)
    return None if event is None else event | {"t": event["occurred_at"]}


def total(events: list[dict]) -> Decimal | None:
    found = [e["amount"] for e in events if e["amount"] is not None]
    return sum(found) if found else None  # type: ignore[return-value]


def users(events: list[dict]) -> int | None:
    found = {e["user_id"] for e in events if e["user_id"] is not None}
    return len(found) if len(found) <= 40 else None


def step(events: list[dict]) -> int | None:
    """Three steps, each by an event of its own; of those of an end alone, one matters."""
    met = {
        (e["t"], e["event_type"] == "view", e["is_bot"], e["amount"] is not None) for e in events
    }
    alone = ((True, False, False), (False, False, True))
    mixed = {m for m in met if any(m[1:]) and m[1:] not in alone}
    if len(mixed) > 60:
        return None
    firsts, lasts = ([m for m in met if m[1:] == kind] for kind in alone)
    left = mixed | ({min(firsts)} if firsts else set()) | ({max(lasts)} if lasts else set())

    def best(step: int, time: int, used: tuple) -> int:
        ways = (m for m in left - set(used) if m[0] >= time and m[step + 1]) if step < 3 else ()
        return max((best(step + 1, m[0], (*used, m)) for m in ways), default=step)

    return best(0, -(2**62), ())


RESULTS = {"n": len, "total": total, "users": users, "step": step}
MODEL = [
    model.Metric(
        "visits", lambda e: (e["session_id"],), lambda e: True, RESULTS, (2_000, 60_000), 60_000,
        kind="session",
    ),
    model.Metric(
        "so_far", lambda e: (e["country"],), lambda e: True, RESULTS, (60_000, 10_000), 60_000,
        kind="cumulative",
    ),
    model.Metric(
        "rolling", lambda e: (e["country"],), lambda e: not e["is_bot"], RESULTS,
        (30_000, 10_000), 60_000, kind="sliding",
    ),
]  # fmt: skip


def expected(job: Job) -> model.Answer:
    log: dict[int, list[model.Message]] = defaultdict(list)
    for message in recount.read_all(job.kafka, job.topic):
        log[message.partition()].append(model.Message(message.value(), message.timestamp()[1]))
    return model.answer(
        log, MODEL, bound_ms=recount.BOUND_MS, skew_ms=recount.SKEW_MS, raises={}, parse=parse
    )


def found(job: Job) -> dict[tuple, dict[str, Any]]:
    rows = {}
    for metric, (table, key) in TABLES.items():
        select = (
            f"SELECT {key} AS key, toUnixTimestamp64Milli(window_start) AS start, "
            "toUnixTimestamp64Milli(window_end) AS end, toInt64(_events) AS e, "
            "toInt64(_late) AS l, toInt64(n) AS n, toString(total) AS total, users, step "
            f"FROM {job.database}.{table} FINAL"
        )
        for row in job.query(select):
            start, end = int(row["start"]), int(row["end"])
            rows[(metric, end - start, (row["key"],), start)] = {
                "n": int(row["n"]),
                "total": None if row["total"] is None else Decimal(row["total"]),
                "users": None if row["users"] is None else int(row["users"]),
                "step": None if row["step"] is None else int(row["step"]),
                "_events": int(row["e"]),
                "_late": int(row["l"]),
            }
    return rows


@pytest.fixture
def job(tmp_path: Path, kafka, clickhouse) -> Job:
    return Job(tmp_path, kafka, clickhouse, f"windows_{secrets.token_hex(3)}", PROJECT)


def assert_as_the_model_says(job: Job) -> None:
    answer, rows = expected(job), found(job)
    kinds = Counter(identity[0] for identity in answer.table)
    print(f"{kinds} rows, {len(answer.letters):,} dead letters")
    assert len(kinds) == len(METRICS)
    differing = [
        (identity, answer.table.get(identity), rows.get(identity))
        for identity in answer.table.keys() | rows.keys()
        if answer.table.get(identity) != rows.get(identity)
    ]
    assert differing == []
    letters, ledger = job.letters_and_ledger()
    assert letters == {place: reason for place, (reason, _) in answer.letters.items()}
    assert ledger == answer.ledger


@pytest.mark.timeout(240)
def test_killed_while_windows_are_open_each_kind_ends_as_the_model_says(job: Job) -> None:
    kill_while_loading(job, rate=2_000, seconds=10, kills=2, seed=21)
    assert_as_the_model_says(job)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twelve_times_in_two_minutes_each_kind_ends_as_the_model_says(job: Job) -> None:
    kill_while_loading(job, rate=4_000, seconds=120, kills=12, seed=22)
    assert_as_the_model_says(job)
