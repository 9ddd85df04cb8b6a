"""A run says where a window holds more values of a key than its `max_values`; rows stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelinekit.engine.key_values import Excess
from pipelinekit.plan.model import KeyPlan
from tests import plans
from tests.runtime.local.jobs import (
    BASE_MS,
    Job,
    Running,
    counted,
    events,
    expected,
    send,
    until,
)

pytestmark = pytest.mark.kafka


def test_windows_with_more_values_of_a_key_than_its_limit_are_said_and_change_no_row(
    kafka, make_topic, tmp_path: Path
) -> None:
    country = KeyPlan("country", plans.expression("country"), max_values=3)
    views = plans.metric("views", [plans.measure("n", "count()")], key=[country])
    job = Job(kafka, make_topic, tmp_path, views)
    minutes = ("ABC", "ABCDE", "AB", "ABCDA")
    sent = [
        {"id": f"{minute}-{place}", "t": BASE_MS + minute * 60_000, "kind": "v", "country": name}
        for minute, names in enumerate(minutes)
        for place, name in enumerate(names)
    ]
    send(job.brokers, job.topic, sent)
    status = job.run_to_end(shards=2, buckets=2)
    assert len(job.rows("views_1m")) == sum(len(set(names)) for names in minutes)
    (excess,) = status.key_totals.excesses.items()
    assert excess == ("views.country", Excess(limit=3, windows=2, most=5))
    said = "views.country with 5 values in a window, beyond 3 · "
    assert status.line(0, None).startswith(said)  # before what a terminal may cut


def test_key_within_its_limit_is_not_spoken_of(kafka, make_topic, tmp_path: Path) -> None:
    country = KeyPlan("country", plans.expression("country"), max_values=3)
    views = plans.metric("views", [plans.measure("n", "count()")], key=[country])
    job = Job(kafka, make_topic, tmp_path, views)
    send(job.brokers, job.topic, events(100))
    status = job.run_to_end()
    assert status.key_totals.excesses == {}
    assert "views" not in status.line(0, None)


def test_limit_that_is_set_later_holds_for_the_windows_that_are_open(
    kafka, make_topic, tmp_path: Path
) -> None:
    """It is no part of the state: the metric goes on, and its open window with all it holds."""
    job = Job(kafka, make_topic, tmp_path)
    send(job.brokers, job.topic, events(20))
    first = job.runner()
    with Running(first):
        until(lambda: sum(r["n"] for r in job.rows().values()) == 20)
    assert first.status.key_totals.excesses == {}
    (counts,) = job.plan.metrics
    watched = replace(counts, key=(replace(counts.key[0], max_values=2),))
    job.plan = replace(job.plan, metrics=(watched,))
    send(job.brokers, job.topic, events(1, start=20))
    status = job.run_to_end()
    assert status.key_totals.excesses == {"counts.country": Excess(limit=2, windows=1, most=3)}
    assert counted(job.rows()) == expected(events(21))
