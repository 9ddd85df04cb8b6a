"""The events of the model's log: what a valid one is, and how it is read."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

Event = dict[str, Any]


def parse(value: bytes | None) -> Event | None:
    """The event, or None where the message is not valid for the test source."""
    try:
        raw = json.loads(value.decode("utf-8"), parse_float=Decimal)  # type: ignore[union-attr]
    except Exception:
        return None
    if not isinstance(raw, dict):
        return None
    event: Event = {}
    for name, (kind, optional, default) in FIELDS.items():
        item = raw.get(name)
        if item is None:
            if default is None and not optional:
                return None
            event[name] = default
            continue
        read = kind(item)
        if read is None:
            return None
        event[name] = read[0]
    return event


def text(item: Any) -> tuple | None:
    return (item,) if isinstance(item, str) else None


def whole(item: Any) -> tuple | None:
    fits = isinstance(item, int) and not isinstance(item, bool) and -(2**63) <= item < 2**63
    return (item,) if fits else None


def boolean(item: Any) -> tuple | None:
    return (item,) if isinstance(item, bool) else None


def number(item: Any) -> tuple | None:
    if isinstance(item, bool) or not isinstance(item, int | Decimal):
        return None
    return (float(item),)


def money(item: Any) -> tuple | None:
    if isinstance(item, bool) or not isinstance(item, int | Decimal):
        return None
    value = Decimal(item)
    return (value,) if value == round(value, 2) and abs(value) < 10**16 else None


def instant(item: Any) -> tuple | None:
    if isinstance(item, str):
        try:
            return (int(dt.datetime.fromisoformat(item).timestamp() * 1000),)
        except ValueError:
            return None
    return whole(item)


# name → (reader, optional, default)
FIELDS: dict[str, tuple] = {
    "id": (text, False, None),
    "t": (instant, False, None),
    "kind": (text, False, None),
    "country": (text, True, None),
    "user": (text, True, None),
    "amount": (money, True, None),
    "load": (whole, True, None),
    "score": (number, True, None),
    "bot": (boolean, False, False),
}
