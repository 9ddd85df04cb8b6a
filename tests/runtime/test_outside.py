"""What a run opens outside: what can't be used is said at once, not at the first row or letter."""

from __future__ import annotations

import pytest

from pipelinekit.errors import Refused
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.outside import opened
from tests import plans

pytestmark = pytest.mark.kafka


def plan_of(topic: str, brokers: str, letters: str) -> Plan:
    source = plans.source(topic=topic, brokers=brokers, dead_letters=letters)
    return Plan("events", "local", source, (), ())


def test_missing_topic_for_dead_letters_is_refused_before_the_run(kafka, make_topic) -> None:
    topic = make_topic(1)
    plan = plan_of(topic, kafka.bootstrap, f"{topic}_dead")
    with (
        pytest.raises(Refused, match=f'topic "{topic}_dead" does not exist') as caught,
        opened(plan),
    ):
        pytest.fail("opened without a place for dead letters")
    assert "ddl --apply" in str(caught.value.help)


def test_topics_that_are_there_are_opened(kafka, make_topic) -> None:
    plan = plan_of(make_topic(1), kafka.bootstrap, make_topic(1))
    with opened(plan) as outside:
        assert outside.source.bounds() == {0: (0, 0)}
        assert outside.dead_letters is not None
