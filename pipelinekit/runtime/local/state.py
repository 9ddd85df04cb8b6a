"""A job's state between runs, as a manifest says it: plain data and its JSON.

Everything that must move together is here or in the segments that the manifest names: positions,
watermarks, counts, floors, and the rows of the panes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from pipelinekit.data import Outcome
from pipelinekit.engine.lateness import NO_TIME, PartitionTime
from pipelinekit.engine.ledger import Ledger
from pipelinekit.engine.pane import PaneId
from pipelinekit.errors import Refused
from pipelinekit.plan import codec as plan_codec
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.floors import MetricState

FORMAT = 2


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one pane in a segment file: bytes [at, at + size), `rows` of them."""

    pane: PaneId
    at: int
    size: int
    rows: int
    is_full: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of sections; written once, never changed."""

    file: str
    checksum: int
    sections: tuple[Section, ...]


@dataclass(slots=True)
class JobState:
    """All of a job but the panes' rows. `plan` holds the retired metrics too."""

    job: str
    plan: Plan
    epoch: int
    shards: int
    buckets: int
    topic_id: str
    out_of_orderness_ms: int
    number: int = 0  # of the checkpoint
    watermark_ms: int = NO_TIME
    partitions: dict[int, PartitionTime] = field(default_factory=dict)
    published_ms: dict[int, int] = field(default_factory=dict)  # per shard
    ledger: Ledger = field(default_factory=Ledger)
    first_offsets: dict[int, int] = field(default_factory=dict)
    messages_read: dict[int, int] = field(default_factory=dict)
    metrics: dict[str, MetricState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint: the state, and the segments that hold the panes, oldest first."""

    state: JobState
    segments: tuple[Segment, ...]


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    state = manifest.state
    document = {
        "format": FORMAT,
        "job": state.job,
        "plan": plan_codec.encode(state.plan).decode(),
        "epoch": state.epoch,
        "shards": state.shards,
        "buckets": state.buckets,
        "topic_id": state.topic_id,
        "out_of_orderness_ms": state.out_of_orderness_ms,
        "number": state.number,
        "watermark_ms": state.watermark_ms,
        "partitions": [{"partition": p, **asdict(t)} for p, t in sorted(state.partitions.items())],
        "published_ms": sorted(state.published_ms.items()),
        "first_offsets": sorted(state.first_offsets.items()),
        "messages_read": sorted(state.messages_read.items()),
        "counts": [
            [m, p, o.value, c]
            for (m, p, o), c in sorted(
                state.ledger.counts.items(), key=lambda i: (i[0][0], i[0][1], i[0][2].value)
            )
        ],
        "metric_base": [[m, p, c] for (m, p), c in sorted(state.ledger.metric_base.items())],
        "metrics": {name: asdict(m) for name, m in sorted(state.metrics.items())},
        "segments": [
            {
                "file": segment.file,
                "checksum": segment.checksum,
                "sections": [
                    [s.pane.metric, s.pane.grain, s.pane.start_ms, s.at, s.size, s.rows, s.is_full]
                    for s in segment.sections
                ],
            }
            for segment in manifest.segments
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def decode(data: bytes, where: str) -> Manifest:
    """The inverse of `encode`. Raises Refused for another format or damage."""
    try:
        document: dict[str, Any] = msgspec.json.decode(data)
        if document["format"] != FORMAT:
            raise Refused(
                f"{where} has format {document['format']}, this version reads {FORMAT}",
                help="run it with the version that wrote it, or start anew with --from earliest",
            )
        return _manifest(document)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
        raise Refused(
            f"{where} can't be read: {error!r}", help="start anew with --from earliest"
        ) from error


def _manifest(d: dict[str, Any]) -> Manifest:
    partitions = {}
    for entry in d["partitions"]:
        number = int(entry.pop("partition"))
        partitions[number] = PartitionTime(**entry)
    ledger = Ledger(
        counts={(m, int(p), Outcome(o)): int(c) for m, p, o, c in d["counts"]},
        metric_base={(m, int(p)): int(c) for m, p, c in d["metric_base"]},
    )
    state = JobState(
        job=d["job"],
        plan=plan_codec.decode(d["plan"].encode()),
        epoch=d["epoch"],
        shards=d["shards"],
        buckets=d["buckets"],
        topic_id=d["topic_id"],
        out_of_orderness_ms=d["out_of_orderness_ms"],
        number=d["number"],
        watermark_ms=d["watermark_ms"],
        partitions=partitions,
        published_ms={int(s): int(w) for s, w in d["published_ms"]},
        ledger=ledger,
        first_offsets={int(p): int(o) for p, o in d["first_offsets"]},
        messages_read={int(p): int(n) for p, n in d["messages_read"]},
        metrics={name: MetricState(**m) for name, m in d["metrics"].items()},
    )
    segments = tuple(
        Segment(
            s["file"],
            s["checksum"],
            tuple(
                Section(PaneId(m, g, t), at, size, rows, full)
                for m, g, t, at, size, rows, full in s["sections"]
            ),
        )
        for s in d["segments"]
    )
    return Manifest(state, segments)
