"""What went wrong at ClickHouse, whether trying again may help, and the trying again."""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The server's error codes (src/Common/ErrorCodes.cpp) that waiting may cure.
TRANSIENT_CODES = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED: the server is going down
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY: the replica lost its keeper
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS: merges lag; see also TOO_MANY_PARTITIONS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT: repeating it is harmless
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK: out of threads
        473,  # DEADLOCK_AVOIDED
        499,  # S3_ERROR
        517,  # CANNOT_ASSIGN_ALTER: another one is running
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION: network, as a rule
        1001,  # STD_EXCEPTION: out of memory, as a rule
        1002,  # UNKNOWN_EXCEPTION
    }
)
TOO_MANY_PARTS = 252
# The other meaning of code 252: one insert over too many partitions, which no waiting cures.
TOO_MANY_PARTITIONS = "Too many partitions for single INSERT"
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

FIRST_DELAY_S = 0.05
DELAY_MAX_S = 2.0
_PREFIX = re.compile(r"Code: (\d+)\. DB::Exception: ")
_VERSION = re.compile(r"\s*\(version [^)]*\)\.?")
_TEXT_MAX = 600


class Failure(Exception):
    """One request that failed. `attempts` and `elapsed_s` count the retries up to this one."""

    def __init__(self, text: str, *, code: int | None = None, is_transient: bool) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.is_transient = is_transient
        self.attempts = 1
        self.elapsed_s = 0.0


def failure_of(status: int, code: str | None, answer: str) -> Failure:
    """The failure that an HTTP answer of the server, or of a proxy before it, stands for."""
    found = _PREFIX.search(answer)
    number = int(code) if code and code.isdigit() else int(found[1]) if found else None
    text = _VERSION.sub("", _PREFIX.sub("", answer)).strip()[:_TEXT_MAX]
    if number is None:
        return Failure(f"HTTP {status}: {text}", is_transient=status in TRANSIENT_STATUSES)
    is_transient = number in TRANSIENT_CODES and not (
        number == TOO_MANY_PARTS and TOO_MANY_PARTITIONS in text
    )
    return Failure(f"{text} (code {number})", code=number, is_transient=is_transient)


def retried(call: Callable[[], T], *, budget_s: float, stop: threading.Event) -> T:
    """What `call` returns; transient failures are tried again for `budget_s`, or until `stop`.

    Raises the last Failure. The delays are exponential with full jitter, so that writers which
    failed together don't come back together.
    """
    began = time.monotonic()
    for attempt in itertools.count(1):
        try:
            return call()
        except Failure as failure:
            failure.attempts, failure.elapsed_s = attempt, time.monotonic() - began
            bound = min(DELAY_MAX_S, FIRST_DELAY_S * 2 ** min(attempt, 16))
            delay = random.uniform(0, bound)
            if not failure.is_transient or failure.elapsed_s + delay > budget_s or stop.wait(delay):
                raise
    raise AssertionError("unreachable")
