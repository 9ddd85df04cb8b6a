"""What lies in a source's dead-letter topic: counts by reason, and the newest letters."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelinekit.connectors.kafka.dead_letters import letter_of
from pipelinekit.data import DeadLetter, RawBatch
from pipelinekit.reasons import Reason


@dataclass(slots=True, eq=False)
class Buried:
    """The letters of one source topic. Holds only the newest: a topic of them may be large.

    `metrics` counts, of those too late, by the metric that refused them. `repeats` were delivered
    again after a crash; `others` are messages that are no letter of this source.
    """

    reasons: Counter[Reason] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=Counter)
    newest: list[tuple[int, DeadLetter]] = field(default_factory=list)  # with its time (ms)
    messages: int = 0
    repeats: int = 0
    others: int = 0


def look(batches: Iterable[RawBatch], topic: str, last: int, reason: Reason | None) -> Buried:
    """The letters of `topic` among the messages, and the `last` of them (of that reason)."""
    found = Buried()
    seen: set[tuple[int, int]] = set()
    heap: list[tuple[int, int, int, DeadLetter]] = []  # places differ: letters never compare
    for batch in batches:
        found.messages += len(batch)
        columns = zip(batch.broker_times_ms, batch.keys, batch.values, batch.headers, strict=True)
        for written_ms, key, value, headers in columns:
            letter = letter_of(key, value, headers)
            if letter is None or letter.topic != topic:
                found.others += 1
                continue
            place = (letter.partition, letter.offset)
            if place in seen:
                found.repeats += 1
                continue
            seen.add(place)
            found.reasons[letter.reason] += 1
            found.metrics.update(letter.metrics)
            if reason in (None, letter.reason):
                heapq.heappush(heap, (int(written_ms), *place, letter))
                if len(heap) > last:
                    heapq.heappop(heap)
    found.newest = [(written_ms, letter) for written_ms, _, _, letter in sorted(heap)]
    return found
