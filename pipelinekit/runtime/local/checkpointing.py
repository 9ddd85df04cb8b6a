"""Checkpoints of a run: when one is due, what it holds, and what leaves once it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelinekit.clock import Clock
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.flusher import Flusher
from pipelinekit.runtime.local.letters import Letters
from pipelinekit.runtime.local.merged import Merged, ledger_entries
from pipelinekit.runtime.local.saver import Checkpoint, Outcome, Saver
from pipelinekit.runtime.local.state import JobState
from pipelinekit.runtime.local.status import Status


@dataclass(slots=True, eq=False)
class Checkpointing:
    """One checkpoint at a time: `save`, then `settle` now and then, or `wait`.

    `begun` is the state that the run began with: the newest checkpoint's number is in `number`.
    """

    begun: JobState
    store: CheckpointStore
    saver: Saver
    merged: Merged
    flusher: Flusher
    letters: Letters
    status: Status
    clock: Clock
    every_ms: int
    number: int
    next_ms: int
    _is_saving: bool = False

    def is_due(self, now_ms: int) -> bool:
        return now_ms >= self.next_ms and not self._is_saving

    def next_number(self, now_ms: int) -> int:
        """The number of a checkpoint that begins now."""
        self.next_ms = now_ms + self.every_ms
        self.number += 1
        return self.number

    def save(self, published: Mapping[int, int]) -> None:
        """Hand what is merged now to the saver; `published` are the shards' watermarks."""
        sizes = {i: n for panes in self.merged.panes for i, n in panes.pane_sizes().items()}
        whole = self.store.panes_to_save_whole(sizes)
        everything = self.saver.must_save_everything
        rows = [r for p in self.merged.panes for r in p.changed_rows(whole, everything=everything)]
        state = self.merged.state(self.begun, self.number, published)
        self.saver.submit(
            Checkpoint(
                state,
                rows=tuple(rows),
                live=sizes,
                tickets={name: w.submitted for name, w in self.flusher.writers.items()},
                held_letters=tuple(self.letters.take_held()),
                ledger=tuple(ledger_entries(state)),
                closed=self.merged.closed_through(),
                raised=frozenset(self.merged.raised),
            )
        )
        self._is_saving = True

    def settle(self) -> None:
        """If the checkpoint in the making stands now, let go what waited for it."""
        if self._is_saving and self.saver.is_idle:
            self._take_outcome()

    def wait(self, *, give_up: bool) -> bool:
        """Whether the checkpoint in the making, if any, stands now; waits for it.

        With `give_up` not for a sink that doesn't answer.
        """
        if not self._is_saving:
            return True
        if give_up:
            self.saver.give_up.set()
        self.saver.wait()
        outcome = self._take_outcome()
        return outcome is not None and outcome.error is None

    def _take_outcome(self) -> Outcome | None:
        self._is_saving = False
        outcome = self.saver.take_outcome()
        if outcome is None:
            return None
        self.status.note_checkpoint(outcome)
        if outcome.error is None:
            self._release(outcome.checkpoint)
        else:
            self.letters.hold_again(outcome.checkpoint.held_letters)
        return outcome

    def _release(self, checkpoint: Checkpoint) -> None:
        self.merged.raised -= checkpoint.raised
        self.letters.write(checkpoint.held_letters)
        self.flusher.announce(checkpoint.closed, checkpoint.ledger, self.clock.now_ms())
