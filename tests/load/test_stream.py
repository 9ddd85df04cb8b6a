from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from pipelinekit.load.stream import ClickStream, Kind, Shares

NOW_MS = 1_704_110_400_000


def messages(count: int, **shares: float) -> list:
    stream = ClickStream(7, Shares(**shares))
    return [stream.message(n, NOW_MS) for n in range(count)]


def test_same_seed_gives_the_same_messages() -> None:
    assert messages(500, late=0.1, malformed=0.1) == messages(500, late=0.1, malformed=0.1)


def test_events_in_time_are_whole_clicks_within_two_seconds() -> None:
    for message in messages(2000):
        event = json.loads(message.value)
        assert 0 <= NOW_MS - event["occurred_at"] <= 2_000
        assert {"event_id", "event_type", "session_id", "device", "is_bot"} <= event.keys()
        assert message.kind is Kind.IN_TIME
    assert 250 < sum(len(m.value) for m in messages(2000)) / 2000 < 420


def test_shares_come_out_as_asked() -> None:
    found = Counter(
        m.kind
        for m in messages(
            50_000, late=0.02, too_late=0.01, malformed=0.01, future=0.005, duplicates=0.01
        )
    )
    for kind, share in (
        (Kind.LATE, 0.02),
        (Kind.TOO_LATE, 0.01),
        (Kind.MALFORMED, 0.01),
        (Kind.FUTURE, 0.005),
        (Kind.DUPLICATE, 0.01),
    ):
        assert found[kind] / 50_000 == pytest.approx(share, rel=0.2)


def test_malformed_messages_are_refused_by_the_codec_each_on_its_own() -> None:
    from pipelinekit.codecs.base import FieldSpec
    from pipelinekit.codecs.json import decoder
    from pipelinekit.types import STRING, TIMESTAMP

    fields = [
        FieldSpec("occurred_at", TIMESTAMP, (("occurred_at",),)),
        FieldSpec("event_type", STRING, (("event_type",),)),
        FieldSpec("country", STRING, (("country",),), optional=True),
    ]
    made = messages(5000, malformed=0.05)
    decoded = decoder(fields, "occurred_at").decode([m.value for m in made], [()] * len(made))
    refused = {r.index for r in decoded.refused}
    broken = {i for i, m in enumerate(made) if m.kind is Kind.MALFORMED}
    assert refused == broken


def test_a_group_is_one_event_when_joined_by_newlines_and_none_apart() -> None:
    made = messages(2_000, malformed=0.5)
    found = 0
    for group in zip(made, made[1:], made[2:], strict=False):
        try:
            event = json.loads(b"\n".join(m.value for m in group))
        except ValueError:
            continue
        found += 1
        assert {m.kind for m in group} == {Kind.MALFORMED}
        assert len({m.key for m in group}) == 1
        assert "occurred_at" in event
    assert found > 50


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        Shares(late=0.9, malformed=0.2)


def test_one_process_makes_enough_for_a_hundred_thousand_a_second() -> None:
    stream = ClickStream(1, Shares(late=0.01))
    began = time.process_time()
    for number in range(50_000):
        stream.message(number, NOW_MS)
    assert 50_000 / (time.process_time() - began) > 100_000
