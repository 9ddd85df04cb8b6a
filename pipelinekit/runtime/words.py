"""The words of a test with time → messages and instants."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.plan.model import SourcePlan
from pipelinekit.spec.models.testing import RawMessage
from pipelinekit.types import TIMESTAMP, Kind

_TIME_OF_DAY = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?", re.ASCII)
_UNITS_PER_MS = {"s": 0.001, "ms": 1, "us": 1000}


class ScenarioError(Exception):
    """A step can't be carried out as it is written."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to deliver; `event` is what the test says of it, with the id that it was given."""

    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]
    partition: int
    broker_ms: int
    event: Mapping[str, Any]


@dataclass(slots=True)
class Words:
    """Reads a test's events and times; events without an id are numbered as they come.

    Times of day are of `base` in `zone`, the metric's; days alone in `row_zone`, its calendar's.
    """

    source: SourcePlan
    base: str
    zone: ZoneInfo
    row_zone: ZoneInfo
    _ids: int = 0

    def event(self, given: Mapping[str, Any]) -> Message:
        """The message of an event: fields that are not given take what they can."""
        source = self.source
        event = dict(given)
        if source.id is not None and source.id not in event:
            self._ids += 1
            numbered: object = f"e{self._ids}"
            if source.field(source.id).type.kind is Kind.INT:
                numbered = self._ids
            event[source.id] = numbered
        payload: dict[str, Any] = {}
        headers: list[tuple[str, bytes | None]] = []
        for spec in source.fields:
            value = self._field_value(spec, event)
            if value is None and spec.name not in event:
                continue
            if spec.header is not None:
                headers.append((spec.header, None if value is None else str(value).encode()))
            else:
                _place(payload, spec.paths[0], value)
        time_ms = self.instant(event.get(source.event_time, "00:00:00"))
        broker = event.get("broker_time")
        return Message(
            value=json.dumps(payload).encode(),
            headers=tuple(headers),
            partition=int(event.get("partition", 0)),
            broker_ms=time_ms if broker is None else self.instant(broker),
            event=event,
        )

    def raw(self, raw: RawMessage, now_ms: int) -> Message:
        """The message as it lies on the log, stamped `now_ms` unless it says otherwise."""
        value = bytes.fromhex(raw.hex) if raw.hex is not None else (raw.text or "").encode()
        broker = now_ms if raw.broker_time is None else self.instant(raw.broker_time)
        shown = raw.text if raw.text is not None else raw.hex
        return Message(value, (), raw.partition, broker, {"raw": shown})

    def _field_value(self, spec: FieldSpec, event: Mapping[str, Any]) -> Any:
        if spec.name in event:
            value = event[spec.name]
            if spec.type == TIMESTAMP and isinstance(value, str):
                return int(self.instant(value) * _UNITS_PER_MS[spec.unit])
            return value
        if spec.optional or spec.default is not None:
            return None
        match spec.type.kind:
            case Kind.STRING:
                return "x"
            case Kind.BOOL:
                return False
            case Kind.TIMESTAMP:
                return int(self.instant("00:00:00") * _UNITS_PER_MS[spec.unit])
            case Kind.DATE:
                return self.base
            case Kind.LIST:
                return []
            case _:
                return 0

    def instant(self, text: object) -> int:
        """A time of the test as epoch ms: of the base day in the metric's zone, or RFC 3339."""
        if isinstance(text, int):
            return text
        written = str(text)
        try:
            if _TIME_OF_DAY.fullmatch(written):
                local = dt.datetime.fromisoformat(f"{self.base}T{written}")
                moment = local.replace(tzinfo=self.zone)
            elif re.fullmatch(r"\d{4}-\d\d-\d\d", written):
                moment = dt.datetime.fromisoformat(written).replace(tzinfo=self.row_zone)
            else:
                moment = dt.datetime.fromisoformat(written)
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=self.zone)
        except ValueError:
            raise ScenarioError(
                f'"{written}" is no time: write 12:00:05, or 2024-01-31T12:00:05Z'
            ) from None
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return (moment - epoch) // dt.timedelta(milliseconds=1)


def _place(payload: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        payload = payload.setdefault(step, {})
    payload[path[-1]] = value
