"""Barriers: each shard's messages are cut at its own barrier, and nothing beyond one is lost."""

from __future__ import annotations

from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.runtime.local.barriers import Barriers
from pipelinekit.runtime.local.shard import Barrier, Ended


def barrier(shard: int, next_offset: int) -> Barrier:
    return Barrier(shard, 7, {shard: PartitionTime(next_offset)}, published_ms=100 + shard)


def test_last_barrier_gives_the_cut_with_what_lies_beyond_in_order() -> None:
    barriers = Barriers(2)
    before, after, last = Ended(1, None), Ended(0, None), Ended(0, ValueError())

    assert not barriers.parks(before)
    assert barriers.reach(barrier(0, 10)) is None
    assert barriers.are_aligning
    assert [barriers.parks(m) for m in (after, before, last)] == [True, False, True]
    cut = barriers.reach(barrier(1, 20))

    assert cut is not None
    assert cut.times == {0: PartitionTime(10), 1: PartitionTime(20)}
    assert cut.published_ms == {0: 100, 1: 101}
    assert cut.beyond == [after, last]
    assert not barriers.are_aligning
    assert not barriers.parks(after)  # the next checkpoint begins anew
