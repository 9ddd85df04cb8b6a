"""Sends a stream at a rate, open loop: intended times are kept, late or not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pipelinekit.errors import Unreachable
from pipelinekit.load.stream import ClickStream

_TICK_S = 0.005
_FLUSH_S = 30.0


@dataclass(slots=True)
class Sent:
    """What was sent. `behind_ms` is how far a tick started after its time, at most."""

    messages: int = 0
    seconds: float = 0.0
    behind_ms: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.messages / self.seconds if self.seconds else 0.0


def produce(
    brokers: str,
    topic: str,
    stream: ClickStream,
    rate: int,
    *,
    seconds: float | None = None,
    count: int | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[Sent], None] | None = None,
) -> Sent:
    """Send until the seconds or the count are over, or `stop` is set.

    Raises Unreachable when the brokers don't take the messages.
    """
    from confluent_kafka import Producer

    failed = 0

    def note_failure(error: object, message: object) -> None:
        nonlocal failed
        failed += error is not None

    producer = Producer(
        {
            "on_delivery": note_failure,
            "delivery.report.only.error": True,
            "bootstrap.servers": brokers,
            "linger.ms": 20,
            "compression.type": "lz4",
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 2,  # what fails is said at the end, not in the client's own words
        }
    )
    sent = Sent()
    began = time.time()
    tick = 0
    while not (stop is not None and stop.is_set()):
        tick += 1
        due = began + tick * _TICK_S
        if seconds is not None and tick * _TICK_S > seconds:
            break
        wait = due - time.time()
        if wait > 0:
            time.sleep(wait)
        else:
            sent.behind_ms = max(sent.behind_ms, -wait * 1000)
        target = int(tick * _TICK_S * rate)
        if count is not None:
            target = min(target, count)
        _send(producer, topic, stream, sent, target, int(due * 1000), stop)
        sent.seconds = time.time() - began
        if progress is not None and tick % 100 == 0:
            progress(sent)
        if count is not None and sent.messages >= count:
            break
    left = producer.flush(_FLUSH_S) + failed
    sent.seconds = time.time() - began
    if left:
        raise Unreachable(
            f"{left} messages were not taken by Kafka at {brokers}",
            help="start it with `pipelinekit up kafka`, or name another with --brokers",
        )
    return sent


def _send(
    producer: object,
    topic: str,
    stream: ClickStream,
    sent: Sent,
    target: int,
    due_ms: int,
    stop: threading.Event | None,
) -> None:
    produce = producer.produce  # type: ignore[attr-defined]
    poll = producer.poll  # type: ignore[attr-defined]
    for number in range(sent.messages, target):
        message = stream.message(number, due_ms)
        while True:
            try:
                produce(topic, message.value, message.key)
                break
            except BufferError:
                poll(0.05)
                if stop is not None and stop.is_set():
                    sent.messages = number
                    return
        sent.kinds[message.kind.value] += 1
    sent.messages = max(sent.messages, target)
    poll(0)
