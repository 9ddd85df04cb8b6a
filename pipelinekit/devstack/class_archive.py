"""Java's archives of loaded classes: mapped at a start instead of read, which halves it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path


def place(home: Path) -> Path:
    """Where the archive for this Java is; another Java's would be refused by it."""
    program = Path(shutil.which("java") or "java").resolve()
    stamp = program.stat().st_mtime_ns if program.exists() else 0
    digest = hashlib.sha256(f"{program} {stamp}".encode()).hexdigest()[:12]
    return home / f"classes-{digest}.jsa"


def move(made: Path, place: Path) -> None:
    """Copy between file systems, appear in one rename."""
    scratch = place.with_suffix(".new")
    shutil.copy(made, scratch)
    scratch.replace(place)


def options(place: Path) -> list[str]:
    """The JVM's flags: none when there is no archive."""
    return [f"-XX:SharedArchiveFile={place}"] if place.exists() else []
