"""Checkpoints on disk: new segments, then a manifest renamed into place.

A checkpoint writes the rows that changed since the last one, so it costs what changed and not
what is held. A pane whose saved rows outgrow what it holds is written whole, and with it its older
sections are free; a segment goes when no live pane needs it. The older manifest stays until the
new one stands, so a full disk or a kill leaves a whole one behind.
"""

from __future__ import annotations

import fcntl
import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import polars as pl

from pipelinekit.engine.pane import PaneId
from pipelinekit.engine.panes import PaneRows
from pipelinekit.errors import Refused, UsageError
from pipelinekit.runtime.local.state import JobState, Manifest, Section, Segment, decode, encode

MANIFEST = "manifest.json"
_LOCK = "lock"
# A pane is saved whole once its saved rows exceed twice what it holds, and this.
_SLACK_ROWS = 200


class CheckpointStore:
    """The checkpoints of one job in one folder, held by one runner at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder / _LOCK)
        self._segments: tuple[Segment, ...] = ()
        self.bytes_written = 0

    def load(self) -> Manifest | None:
        """The newest checkpoint, or None. Raises Refused when it can't be read."""
        path = self.folder / MANIFEST
        if not path.exists():
            return None
        manifest = decode(path.read_bytes(), str(path))
        self._segments = manifest.segments
        return manifest

    def rows(self, manifest: Manifest) -> Iterator[PaneRows]:
        """The saved rows in the order they were written; later ones of a key replace earlier."""
        first_needed = _first_needed(manifest.segments)
        for number, segment in enumerate(manifest.segments):
            data = (self.folder / segment.file).read_bytes()
            if zlib.crc32(data) != segment.checksum:
                raise Refused(
                    f"{self.folder / segment.file} is damaged: its checksum differs",
                    help="start anew with --from earliest",
                )
            for section in segment.sections:
                if number < first_needed.get(section.pane, 0):
                    continue
                part = data[section.at : section.at + section.size]
                yield PaneRows(section.pane, pl.read_ipc(io.BytesIO(part)), section.is_full)

    def panes_to_save_whole(self, sizes: Mapping[PaneId, int]) -> set[PaneId]:
        """Panes whose saved rows have outgrown them."""
        saved: dict[PaneId, int] = {}
        for segment in self._segments:
            for section in segment.sections:
                base = 0 if section.is_full else saved.get(section.pane, 0)
                saved[section.pane] = base + section.rows
        return {
            pane
            for pane, rows in saved.items()
            if pane in sizes and rows > 2 * sizes[pane] + _SLACK_ROWS
        }

    def write_segment(self, number: int, rows: Sequence[PaneRows]) -> Segment | None:
        """The rows in a new file, on disk when this returns; None if there are none."""
        if not rows:
            return None
        name = f"segment-{number:08d}.arrow"
        sections = []
        checksum = at = 0
        with (self.folder / name).open("wb") as file:
            for saved in rows:
                buffer = io.BytesIO()
                saved.frame.write_ipc(buffer)
                data = buffer.getbuffer()
                file.write(data)
                checksum = zlib.crc32(data, checksum)
                sections.append(Section(saved.id, at, len(data), saved.frame.height, saved.is_full))
                at += len(data)
            _sync(file)
        self.bytes_written += at
        return Segment(name, checksum, tuple(sections))

    def commit(self, state: JobState, new: Segment | None, live: Mapping[PaneId, int]) -> None:
        """Make the state and the segments the newest checkpoint; then delete what it freed."""
        segments = [*self._segments, *([new] if new else [])]
        kept = _needed(segments, live)
        path = self.folder / MANIFEST
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(encode(Manifest(state, kept)))
            _sync(file)
        temporary.rename(path)
        _sync_folder(self.folder)
        self._segments = kept
        names = {segment.file for segment in kept}
        for old in self.folder.glob("segment-*.arrow"):
            if old.name not in names:
                old.unlink()

    def forget(self) -> None:
        """Delete all checkpoints: the job starts anew."""
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for segment in self.folder.glob("segment-*.arrow"):
            segment.unlink()
        self._segments = ()

    def close(self) -> None:
        self._lock.close()


def _first_needed(segments: Sequence[Segment]) -> dict[PaneId, int]:
    """Per pane the segment of its last whole save: what came before is superseded."""
    return {
        section.pane: number
        for number, segment in enumerate(segments)
        for section in segment.sections
        if section.is_full
    }


def _needed(segments: Sequence[Segment], live: Mapping[PaneId, int]) -> tuple[Segment, ...]:
    """The segments without the sections of dead panes and superseded ones."""
    first = _first_needed(segments)
    kept = []
    for number, segment in enumerate(segments):
        sections = tuple(
            s for s in segment.sections if s.pane in live and number >= first.get(s.pane, 0)
        )
        if sections:
            kept.append(replace(segment, sections=sections))
    return tuple(kept)


def _locked(path: Path) -> IO[str]:
    """An exclusive hold of the file until it is closed. Raises UsageError if another has it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise UsageError(
            f"the state in {path.parent} is in use by {holder}",
            help="stop that runner first; two of them on the same tables undo each other's rows",
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()}")
    file.flush()
    return file


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
