"""The fields that the tests' expressions read."""

from __future__ import annotations

from pipelinekit.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    decimal_type,
    list_type,
)

FIELDS: dict[str, Type] = {
    "country": STRING,
    "device": STRING,
    "event_type": STRING,
    "is_bot": BOOL,
    "is_new": BOOL,
    "load_ms": INT,
    "bytes": INT,
    "score": FLOAT,
    "ratio": FLOAT,
    "amount": decimal_type(12, 2),
    "tax": decimal_type(6, 4),
    "total": decimal_type(38, 4),
    "occurred_at": TIMESTAMP,
    "created_at": TIMESTAMP,
    "day": DATE,
    "tags": list_type(STRING),
}
