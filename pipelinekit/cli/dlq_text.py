"""Dead letters as text for a terminal, and as JSON for programs."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelinekit.cli.render import counted
from pipelinekit.data import DeadLetter
from pipelinekit.plan.model import SourcePlan
from pipelinekit.reasons import Reason
from pipelinekit.runtime.buried import Buried

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VALUE_MAX = 1_000


def text(plan: SourcePlan, found: Buried, there: int) -> str:
    """The counts by reason, then the newest letters, oldest first."""
    letters = counted(sum(found.reasons.values()), "dead letter")
    lines = [f"{plan.name}: {letters} in topic {plan.dead_letters_topic} at {plan.brokers}"]
    lines += [
        f"  {reason.value:<9}{found.reasons[reason]:>8,}{_by_metric(reason, found)}"
        for reason in Reason
        if found.reasons[reason]
    ]
    lines += [f"  {note}" for note in _notes(found, there)]
    for written_ms, letter in found.newest:
        lines += ["", *_letter(letter, written_ms)]
    return "\n".join(lines)


def as_json(plan: SourcePlan, found: Buried, there: int) -> dict[str, Any]:
    """The same with the bytes as they are: `…_base64`, beside the text where they are UTF-8."""
    return {
        "source": plan.name,
        "topic": plan.dead_letters_topic,
        "reasons": {reason.value: found.reasons[reason] for reason in Reason},
        "too_late_by_metric": dict(sorted(found.metrics.items())),
        "messages": {
            "in_topic": there,
            "read": found.messages,
            "repeats": found.repeats,
            "others": found.others,
        },
        "letters": [_letter_as_json(letter, at) for at, letter in found.newest],
    }


def printable(data: bytes) -> str:
    """The bytes as text that a terminal can't take for commands: all else is escaped."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in data.decode("utf-8", "backslashreplace")
    )
    if len(shown) > _VALUE_MAX:
        return f"{shown[:_VALUE_MAX]}… ({len(data):,} bytes)"
    return shown


def _by_metric(reason: Reason, found: Buried) -> str:
    if reason is not Reason.TOO_LATE:
        return ""
    return "  for " + ", ".join(f"{name} {n:,}" for name, n in sorted(found.metrics.items()))


def _notes(found: Buried, there: int) -> list[str]:
    notes = []
    if found.messages < there:
        notes.append(
            f"of the newest {found.messages:,} messages; the topic has {there:,}: "
            "--max-messages and --seconds let it read more"
        )
    if found.repeats:
        notes.append(f"{counted(found.repeats, 'repeat')} left out: sent again after a restart")
    if found.others:
        notes.append(f"{counted(found.others, 'message')} left out: no letters of this source")
    return notes


def _letter(letter: DeadLetter, written_ms: int) -> list[str]:
    refused = f" for {', '.join(letter.metrics)}" if letter.metrics else ""
    times = [("event time", letter.event_time_ms), ("watermark", letter.watermark_ms)]
    return [
        f"{letter.reason.value}{refused}: {printable(letter.detail.encode())}",
        f"  at     {letter.topic}, partition {letter.partition}, offset {letter.offset}; "
        + ", ".join(
            f"{what} {_time(ms)}" for what, ms in [("buried", written_ms), *times] if ms is not None
        ),
        f"  key    {_bytes(letter.key)}",
        f"  value  {_bytes(letter.value)}",
    ]


def _bytes(data: bytes | None) -> str:
    return "null" if data is None else printable(data)


def _letter_as_json(letter: DeadLetter, written_ms: int) -> dict[str, Any]:
    return {
        "reason": letter.reason.value,
        "detail": letter.detail,
        "metrics": list(letter.metrics),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "event_time_ms": letter.event_time_ms,
        "watermark_ms": letter.watermark_ms,
        "written_ms": written_ms,
        **_bytes_as_json("key", letter.key),
        **_bytes_as_json("value", letter.value),
    }


def _bytes_as_json(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None, f"{name}_base64": None}
    try:
        shown = data.decode()
    except UnicodeDecodeError:
        shown = None
    return {name: shown, f"{name}_base64": base64.b64encode(data).decode()}


def _time(ms: int) -> str:
    try:
        return f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:  # an event's own time may be anything
        return f"{ms} ms"
