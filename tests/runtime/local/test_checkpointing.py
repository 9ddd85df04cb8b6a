"""Checkpoints of a run: what waited for one leaves when it stands, and only then."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelinekit.clock import SystemClock
from pipelinekit.data import DeadLetter
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.plan.model import Plan
from pipelinekit.reasons import Reason
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.checkpointing import Checkpointing
from pipelinekit.runtime.local.flusher import Flusher
from pipelinekit.runtime.local.letters import Letters
from pipelinekit.runtime.local.merged import Merged
from pipelinekit.runtime.local.saver import Saver
from pipelinekit.runtime.local.start import fresh_start, partition_times, restored_panes
from pipelinekit.runtime.local.status import Status
from tests import plans


@dataclass
class Queue:
    """A dead-letter queue in the process."""

    written: list[DeadLetter] = field(default_factory=list)

    def write(self, letters: Sequence[DeadLetter]) -> None:
        self.written += letters

    def flush(self) -> None: ...

    def check(self) -> str:
        return "a list"

    def close(self) -> None: ...


def letter(offset: int, reason: Reason = Reason.TOO_LATE) -> DeadLetter:
    return DeadLetter(None, b"{}", (), reason, "", (), "events", 0, offset, None, None)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def checkpoints(tmp_path: Path, queue: Queue) -> Iterator[Checkpointing]:
    metric = plans.metric("counts", [plans.measure("n", "count()")])
    plan = Plan("events", "local", plans.source(), (metric,), ())
    start = fresh_start(
        plan, positions={0: 0}, floor_after_ms=NO_TIME, epoch=1, shards=1, buckets=1, topic_id=""
    )
    store = CheckpointStore(tmp_path / "state")
    merged = Merged(
        restored_panes(start, store),
        partition_times(start.state, {0: (0, 9)}),
        start.state.ledger,
        {},
        shards=1,
    )
    letters = Letters(queue)
    saver = Saver(store, {}, queue, threading.Event())
    saver.start()
    yield Checkpointing(
        start.state,
        store,
        saver,
        merged,
        Flusher(merged, {}, {}, None),
        letters,
        Status(),
        SystemClock(),
        every_ms=1_000,
        number=0,
        next_ms=0,
    )
    saver.close()
    store.close()


def test_letter_under_a_raise_leaves_when_its_checkpoint_stands(
    checkpoints: Checkpointing, queue: Queue
) -> None:
    checkpoints.merged.raised = {0}
    checkpoints.letters.bury([letter(1), letter(2, Reason.INVALID)], checkpoints.merged.raised)
    assert queue.written == [letter(2, Reason.INVALID)]

    checkpoints.save({0: NO_TIME})
    assert checkpoints.wait(give_up=False)

    assert queue.written == [letter(2, Reason.INVALID), letter(1)]
    assert checkpoints.merged.raised == set()


def test_letter_whose_checkpoint_fails_at_the_end_waits_for_the_next(
    checkpoints: Checkpointing, queue: Queue
) -> None:
    folder = checkpoints.store.folder
    checkpoints.merged.raised = {0}
    checkpoints.letters.bury([letter(1)], checkpoints.merged.raised)
    shutil.rmtree(folder)

    checkpoints.save({0: NO_TIME})
    assert not checkpoints.wait(give_up=False)
    assert queue.written == []

    folder.mkdir()
    checkpoints.save({0: NO_TIME})
    assert checkpoints.wait(give_up=False)
    assert queue.written == [letter(1)]


def test_checkpoint_is_due_again_after_the_interval(checkpoints: Checkpointing) -> None:
    assert checkpoints.is_due(5_000)
    assert checkpoints.next_number(5_000) == 1
    assert [checkpoints.is_due(now_ms) for now_ms in (5_999, 6_000)] == [False, True]
