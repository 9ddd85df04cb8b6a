"""A shard's restriction: all that reading has decided, as plain data in the runner's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from pipelinekit.data import Outcome
from pipelinekit.engine.lateness import NO_TIME, PartitionTime
from pipelinekit.engine.ledger import Ledger

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class ShardRestriction:
    """A shard's log up to its positions: time, counts, and for which metrics they hold.

    `token` names the claim: who holds a reader with that token stands exactly here. `metrics`:
    name → fingerprint. `is_done`: nothing is left to read.
    """

    shard: int
    partitions: Mapping[int, PartitionTime]
    out_of_orderness_ms: int
    metrics: Mapping[str, str]
    ledger: Ledger
    published_ms: int = NO_TIME
    token: int = 0
    is_done: bool = False


class ShardRestrictionCoder(Coder):  # type: ignore[misc]
    """msgpack, with a format number: a savepoint outlives the version that wrote it."""

    def encode(self, value: ShardRestriction) -> bytes:
        return msgspec.msgpack.encode(
            {
                "format": FORMAT,
                "shard": value.shard,
                "partitions": dict(value.partitions),
                "out_of_orderness_ms": value.out_of_orderness_ms,
                "metrics": dict(value.metrics),
                "counts": [(m, p, o.value, n) for (m, p, o), n in value.ledger.counts.items()],
                "metric_base": [(m, p, n) for (m, p), n in value.ledger.metric_base.items()],
                "published_ms": value.published_ms,
                "token": value.token,
                "is_done": value.is_done,
            }
        )

    def decode(self, encoded: bytes) -> ShardRestriction:
        d = msgspec.msgpack.decode(encoded, strict=False)
        if d["format"] != FORMAT:
            raise ValueError(f"state of format {d['format']}, this version reads {FORMAT}")
        counts = {(m, int(p), Outcome(o)): int(n) for m, p, o, n in d["counts"]}
        return ShardRestriction(
            shard=d["shard"],
            partitions={int(p): PartitionTime(**t) for p, t in d["partitions"].items()},
            out_of_orderness_ms=d["out_of_orderness_ms"],
            metrics=d["metrics"],
            ledger=Ledger(counts, {(m, int(p)): int(n) for m, p, n in d["metric_base"]}),
            published_ms=d["published_ms"],
            token=d["token"],
            is_done=d["is_done"],
        )

    def is_deterministic(self) -> bool:
        return True

    def estimate_size(self, value: ShardRestriction) -> int:
        return 64


class ShardTracker(RestrictionTracker):  # type: ignore[misc]
    """Claims are whole restrictions: where the shard stands after a poll. Splits only at now."""

    def __init__(self, restriction: ShardRestriction) -> None:
        self._restriction = restriction
        self._is_stopped = False

    def current_restriction(self) -> ShardRestriction:
        return self._restriction

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(fraction=0.0)

    def try_claim(self, position: ShardRestriction) -> bool:
        if self._is_stopped:
            return False
        self._restriction = position
        return True

    def try_split(
        self, fraction_of_remainder: float
    ) -> tuple[ShardRestriction, ShardRestriction] | None:
        if self._is_stopped or fraction_of_remainder != 0 or self._restriction.is_done:
            return None
        self._is_stopped = True
        residual = self._restriction
        self._restriction = replace(residual, is_done=True)
        return self._restriction, residual

    def check_done(self) -> bool:
        if not self._restriction.is_done:
            raise ValueError(f"shard {self._restriction.shard} was left before its end")
        return True

    def is_bounded(self) -> bool:
        return False
