"""What a change of specs means for tables and for state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """From the mildest to the gravest; `added` and `removed` are of a whole spec."""

    UNCHANGED = "unchanged"
    IN_PLACE = "in_place"  # holds from now on, for the same tables and state
    REPLAY = "replay"  # rows that stand there were made by other rules
    NEW_TABLE = "new_table"  # rows of another shape, in tables of their own
    BREAKING = "breaking"  # who reads the rows must change what they read
    ADDED = "added"
    REMOVED = "removed"


_ORDER = {verdict: place for place, verdict in enumerate(Verdict)}


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of the verdicts, `unchanged` if there is none."""
    return max(verdicts, key=_ORDER.__getitem__, default=Verdict.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs, its values as canonical text; None where there is none.

    `is_shape`: tables of the old version can't hold the new rows, so the version must be raised.
    """

    what: str
    old: str | None
    new: str | None
    verdict: Verdict
    is_shape: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A metric, source or sink with what changed of it.

    `tables` are those that the metric writes from now on, `left` those that it no longer writes
    and that stay as they are. `state` says what becomes of the metric's open windows.
    `unversioned` names what changes the tables' shape though the version was not raised.
    """

    kind: str  # metric | source | sink
    name: str
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    tables: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    state: str = ""
    unversioned: tuple[str, ...] = ()
