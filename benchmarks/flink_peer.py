"""Q2 as one writes it in Beam: an element an event, a window, a combine per key.

Read by a splittable DoFn of the same client; workers import this module by name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.metrics import Metrics
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

SLICE_S = 0.2
BOUND_MS = 5_000
_CONSUMERS: dict[int, Any] = {}


class Partition(RestrictionProvider):  # type: ignore[misc]
    def initial_restriction(self, element: int) -> OffsetRange:
        return OffsetRange(0, 2**62)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: int, restriction: OffsetRange) -> int:
        return 1

    def truncate(self, element: int, restriction: OffsetRange) -> None: ...


class Read(beam.DoFn):  # type: ignore[misc]
    def __init__(self, brokers: str, topic: str) -> None:
        self._brokers, self._topic = brokers, topic
        self._events = Metrics.counter("peer", "events")

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: int,
        tracker: Any = beam.DoFn.RestrictionParam(Partition()),  # noqa: B008
        estimator: Any = beam.DoFn.WatermarkEstimatorParam(  # noqa: B008
            ManualWatermarkEstimator.default_provider()  # noqa: B008
        ),
    ) -> Iterator[Any]:
        from confluent_kafka import Consumer, TopicPartition

        at = tracker.current_restriction().start
        held = _CONSUMERS.get(element)
        if held is None or held[1] != at:
            consumer = Consumer({"bootstrap.servers": self._brokers, "group.id": "peer"})
            consumer.assign([TopicPartition(self._topic, element, at)])
            held = _CONSUMERS[element] = [consumer, at]
        until = time.monotonic() + SLICE_S
        newest = 0
        while time.monotonic() < until:
            for message in held[0].consume(500, 0.05):
                if message.error() is not None:
                    continue
                if not tracker.try_claim(message.offset()):
                    return
                held[1] = message.offset() + 1
                event = json.loads(message.value())
                newest = max(newest, event["occurred_at"])
                self._events.inc()
                yield TimestampedValue(event, Timestamp(micros=event["occurred_at"] * 1000))
        if newest:
            mark = Timestamp(micros=(newest - BOUND_MS) * 1000)
            current = estimator.current_watermark()
            if current is None or mark > current:
                estimator.set_watermark(mark)
        tracker.defer_remainder()


class CountAndSum(beam.CombineFn):  # type: ignore[misc]
    def create_accumulator(self) -> tuple[int, float]:
        return 0, 0.0

    def add_input(self, accumulator: tuple[int, float], element: float) -> tuple[int, float]:
        return accumulator[0] + 1, accumulator[1] + element

    def merge_accumulators(self, accumulators: Any) -> tuple[int, float]:
        parts = list(accumulators)
        return sum(p[0] for p in parts), sum(p[1] for p in parts)

    def extract_output(self, accumulator: tuple[int, float]) -> tuple[int, float]:
        return accumulator


def keyed(event: dict[str, Any]) -> tuple[str, float]:
    key = f"{event['event_type']}|{event.get('country')}|{event.get('device')}"
    return key, float(event.get("amount") or 0)


def is_person(event: dict[str, Any]) -> bool:
    return not event.get("is_bot", False)


def build(pipeline: beam.Pipeline, brokers: str, topic: str) -> None:
    _ = (
        pipeline
        | "partitions" >> beam.Create(list(range(4)), reshuffle=False)
        | "read" >> beam.ParDo(Read(brokers, topic))
        | "people" >> beam.Filter(is_person)
        | "minutes" >> beam.WindowInto(FixedWindows(60))
        | "keyed" >> beam.Map(keyed).with_output_types(tuple[str, float])
        | "count and sum" >> beam.CombinePerKey(CountAndSum())
        | "drop" >> beam.Filter(_nothing)
    )


def _nothing(element: object) -> bool:
    return False
