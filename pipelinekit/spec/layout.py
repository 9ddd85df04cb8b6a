"""Where specs lie: the project's folder, its files, and what kind of spec each folder holds."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from pipelinekit.diagnostics import Diagnostic, Severity, Span
from pipelinekit.errors import UsageError

PROJECT_FILE = "pipelinekit.yaml"
FOLDERS = {"sources": ("source",), "sinks": ("sink",), "metrics": ("metric", "test")}
KINDS = tuple(kind for kinds in FOLDERS.values() for kind in kinds)
_SUFFIXES = (".yaml", ".yml")
_TEST_SUFFIX = ".test"
_A_SPEC = re.compile(rb"^kind:[ \t]*[\"']?(?:source|sink|metric|test)\b", re.MULTILINE)
_LOOKED_AT_BYTES = 4096


def find_root(start: FilePath) -> FilePath:
    """The folder that holds pipelinekit.yaml, from `start` upwards. Raises UsageError."""
    start = start.resolve() if start.is_dir() else place(start)
    for folder in [start, *start.parents] if start.is_dir() else start.parents:
        if (folder / PROJECT_FILE).is_file():
            return folder
        if (folder / "specs" / PROJECT_FILE).is_file():
            return folder / "specs"
    raise UsageError(
        f"no {PROJECT_FILE} in {start} or above it",
        help="make a project with `pipelinekit init NAME`, or name its folder",
    )


def spec_files(root: FilePath) -> Iterator[tuple[str, FilePath]]:
    """The folder and path of each spec, in a fixed order."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _SUFFIXES and (path.is_file() or is_dangling(path)):
                yield folder, path


def is_dangling(path: FilePath) -> bool:
    """Whether it is a link to what isn't there: to be named, for its metric would be missed."""
    return path.is_symlink() and not path.exists()


def stem(path: FilePath) -> str:
    """The name that the spec in this file must have: `views.test.yaml` → `views`."""
    return path.stem.removesuffix(_TEST_SUFFIX)


def is_test_file(path: FilePath) -> bool:
    """Whether the file's name says that it holds tests."""
    return path.stem.endswith(_TEST_SUFFIX)


def shown(path: FilePath) -> str:
    """The path as a user would type it: from the current folder where it lies below."""
    try:
        return str(place(path).relative_to(FilePath.cwd()))
    except ValueError:
        return str(path)


def place(path: FilePath) -> FilePath:
    """Where the file stands, absolute: its folder's links are followed, one that it is is not."""
    return path.parent.resolve() / path.name


def overlooked(root: FilePath) -> Iterator[Diagnostic]:
    """A warning for each spec beside the folders, or in one whose name is nearly theirs.

    And for each folder that is named as a spec is.
    """
    for kind in FOLDERS:
        for above, names, _ in os.walk(root / kind):
            for path in sorted(FilePath(above, name) for name in names):
                if path.suffix in _SUFFIXES:
                    yield _unread(
                        path,
                        "a folder is named like a spec, and isn't one",
                        f"name it without {path.suffix}",
                    )
    folders = [root]
    for folder in sorted(root.iterdir()):
        is_near = difflib.get_close_matches(folder.name, FOLDERS, n=1, cutoff=0.75)
        if folder.is_dir() and folder.name not in FOLDERS and is_near:
            folders.append(folder)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix not in _SUFFIXES or not path.is_file() or path.name == PROJECT_FILE:
                continue
            with path.open("rb") as file:
                head = file.read(_LOOKED_AT_BYTES)
            if _A_SPEC.search(head):
                yield _unread(
                    path,
                    f"nothing reads this file: it lies outside {', '.join(FOLDERS)}",
                    "move it into the folder of its kind",
                )


def _unread(path: FilePath, message: str, help: str) -> Diagnostic:
    return Diagnostic("PK114", message, Span(shown(path)), help, severity=Severity.WARNING)
