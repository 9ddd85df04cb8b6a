"""The dead letters of a run: written at once, or held until a checkpoint has what made them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pipelinekit.connectors.base import DeadLetterQueue
from pipelinekit.data import DeadLetter
from pipelinekit.reasons import Reason


@dataclass(slots=True, eq=False)
class Letters:
    """Without a queue all are dropped: the counts still tell of them."""

    queue: DeadLetterQueue | None
    _held: list[DeadLetter] = field(default_factory=list)

    def bury(self, letters: Sequence[DeadLetter], raised: Collection[int]) -> None:
        """Write the letters; those that are too late in a partition of `raised` are held."""
        if self.queue is None:
            return
        ready = []
        for letter in letters:
            if letter.reason is Reason.TOO_LATE and letter.partition in raised:
                self._held.append(letter)
            else:
                ready.append(letter)
        if ready:
            self.queue.write(ready)

    def take_held(self) -> Sequence[DeadLetter]:
        """What is held, for a checkpoint: it comes back by `write` or `hold_again`."""
        held, self._held = self._held, []
        return held

    def hold_again(self, letters: Sequence[DeadLetter]) -> None:
        """Their checkpoint failed: they wait for the next one."""
        self._held = [*letters, *self._held]

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Their checkpoint stands."""
        if letters and self.queue is not None:
            self.queue.write(letters)

    def flush(self) -> None:
        """Return when all that was written is delivered. Raises Unreachable or Refused."""
        if self.queue is not None:
            self.queue.flush()
