"""The data set `clicks-v1`: a web shop's click-stream, seeded, with shares of trouble.

An event is a template with the time and the id spliced in, so that one process makes more than
100,000 a second.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

USERS = 20_000
_TEMPLATES = 20_000
_COUNTRIES = ("BE", "NL", "DE", "FR", "US", "JP", "BR", "IN", "UK")
_DEVICES = ("mobile", "desktop", "tablet")
_SHARES = {"view": 12, "click": 8, "scroll": 1, "search": 1, "error": 1, "cart": 5, "conversion": 4}
_TYPES = tuple(name for name, share in _SHARES.items() for _ in range(share))
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
_JITTER_MS = 2_000
_LATE_MS = (30_000, 300_000)
_TOO_LATE_MS = (4_000_000, 8_000_000)
_FUTURE_MS = 3 * 3_600_000
_FORMS = 5  # of malformed messages; the last is a group of three
_MESSAGES_PER_FORM = (_FORMS + 2) / _FORMS
_ZIPF = 2.5  # exponent of the skew: a tenth of the users make 40 % of the events


class Kind(Enum):
    """What was made: the events that count in time, and each sort of trouble."""

    IN_TIME = "in_time"
    LATE = "late"
    TOO_LATE = "too_late"
    MALFORMED = "malformed"
    FUTURE = "future"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Shares:
    """Of all messages, 0 to 1. Late ones are 30 s to 5 min old, too late ones over an hour."""

    late: float = 0.0
    too_late: float = 0.0
    malformed: float = 0.0
    future: float = 0.0
    duplicates: float = 0.0

    def __post_init__(self) -> None:
        parts = (self.late, self.too_late, self.malformed, self.future, self.duplicates)
        if min(parts) < 0 or sum(parts) > 1:
            raise ValueError(f"shares lie between 0 and 1 and add up to at most 1: {parts}")


@dataclass(frozen=True, slots=True)
class Message:
    key: bytes
    value: bytes
    kind: Kind


@dataclass(slots=True)
class ClickStream:
    """Makes messages for intended times; the same seed and calls give the same messages."""

    seed: int = 1
    shares: Shares = field(default_factory=Shares)
    _random: random.Random = field(init=False)
    _templates: Sequence[tuple[bytes, bytes, bytes]] = field(init=False)
    _limits: tuple[float, ...] = field(init=False)
    _broken: int = 0
    _group: list[Message] = field(default_factory=list)
    _last: Message | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._templates = [self._template(number) for number in range(_TEMPLATES)]
        s = self.shares
        limits, total = [], 0.0
        for share in (s.malformed / _MESSAGES_PER_FORM, s.late, s.too_late, s.future, s.duplicates):
            total += share
            limits.append(total)
        self._limits = tuple(limits)

    def message(self, number: int, time_ms: int) -> Message:
        """The message of that number, meant to be sent at `time_ms`."""
        if self._group:  # its messages follow one another
            return self._group.pop(0)
        draw = self._random.random()
        malformed, late, too_late, future, duplicates = self._limits
        at = time_ms - int(self._random.random() * _JITTER_MS)
        kind = Kind.IN_TIME
        if draw < duplicates:
            if draw < malformed:
                return self._malformed(number, at)
            if draw < late:
                at -= self._random.randrange(*_LATE_MS)
                kind = Kind.LATE
            elif draw < too_late:
                at -= self._random.randrange(*_TOO_LATE_MS)
                kind = Kind.TOO_LATE
            elif draw < future:
                at += _FUTURE_MS
                kind = Kind.FUTURE
            elif self._last is not None:
                return Message(self._last.key, self._last.value, Kind.DUPLICATE)
        head, tail, key = self._templates[number % _TEMPLATES]
        value = b"%s%012x%s%d}" % (head, number, tail, at)
        message = Message(key, value, kind)
        self._last = message
        return message

    def _malformed(self, number: int, at: int) -> Message:
        """In turn: truncated, not UTF-8, a wrong type, empty, and parts of one swallowed group."""
        head, tail, key = self._templates[number % _TEMPLATES]
        whole = b"%s%012x%s%d}" % (head, number, tail, at)
        cut = whole.index(b",")
        second = whole.index(b",", cut + 1)
        values = (
            whole[:-40],
            whole.replace(b'"event_type":"', b'"event_type":"\xff'),
            whole.replace(b'"event_type":"', b'"event_type":5,"was":"'),
            b"",
            # With the two that follow it one JSON object, when joined by newlines.
            whole[:cut] + b",",
        )
        form = self._broken % _FORMS
        self._broken += 1
        if form == _FORMS - 1:
            rest = (whole[cut + 1 : second] + b",", whole[second + 1 :])
            self._group = [Message(key, part, Kind.MALFORMED) for part in rest]
        return Message(key, values[form], Kind.MALFORMED)

    def _template(self, number: int) -> tuple[bytes, bytes, bytes]:
        rng = self._random
        user = int(USERS * rng.random() ** _ZIPF)
        kind = rng.choice(_TYPES)
        parts = [
            f'"event_type":"{kind}"',
            f'"session_id":"s{user}-{rng.randrange(4)}"',
            f'"user_id":"u{user}"',
            f'"country":"{rng.choice(_COUNTRIES)}"',
            f'"device":"{rng.choice(_DEVICES)}"',
            f'"is_bot":{"true" if rng.random() < 0.05 else "false"}',
            f'"page":"/p/{rng.randrange(500)}?ref={number}"',
            f'"referrer":"https://example.com/a/b/c?x={number}"',
            f'"user_agent":"{_AGENT}"',
        ]
        if kind == "conversion":
            parts.append(f'"amount":{rng.randrange(100, 50_000) / 100:.2f}')
        if kind == "view":
            parts.append(f'"load_ms":{int(rng.lognormvariate(6, 0.8))}')
        if rng.random() < 0.03:  # some things are just not known
            parts = [p for p in parts if not p.startswith(('"country"', '"user_id"'))]
        tail = '",' + ",".join(parts) + ',"occurred_at":'
        return b'{"event_id":"', tail.encode(), f"s{user}".encode()
