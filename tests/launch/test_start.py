"""Where a submitted job begins, and what is refused before it is handed over."""

from __future__ import annotations

import pytest

from pipelinekit.clock import ManualClock
from pipelinekit.errors import Refused
from pipelinekit.launch.start import begin_anew
from pipelinekit.plan.model import Plan
from tests import plans

pytestmark = pytest.mark.kafka
NOON_MS = 1_704_110_400_000
COUNTS = plans.metric("counts", [plans.measure("n", "count()")])


def plan_of(brokers: str, topic: str, letters: str) -> Plan:
    source = plans.source(topic=topic, brokers=brokers, dead_letters=letters)
    return Plan("events", "local", source, (COUNTS,), ())


def test_job_without_a_place_for_dead_letters_is_refused(kafka, make_topic) -> None:
    topic = make_topic(1)
    with pytest.raises(Refused, match=f'topic "{topic}_dead" does not exist'):
        begin_anew(plan_of(kafka.bootstrap, topic, f"{topic}_dead"), None)


def test_from_latest_windows_count_from_where_no_event_before_may_lie(kafka, make_topic) -> None:
    plan = plan_of(kafka.bootstrap, make_topic(1), make_topic(1))
    begin = begin_anew(plan, None, latest=True, clock=ManualClock(NOON_MS + 1))
    # a minute of max_future_skew, then the next minute's start
    assert begin.job.metrics["counts"].floor_ms == NOON_MS + 120_000
    assert begin.notes == ("metric counts counts windows from 2024-01-01 12:02:00 UTC on",)


def test_from_earliest_every_window_counts(kafka, make_topic) -> None:
    begin = begin_anew(plan_of(kafka.bootstrap, make_topic(1), make_topic(1)), None)
    assert (begin.notes, begin.job.positions) == ((), {0: 0})
