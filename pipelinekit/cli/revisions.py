"""Specs as they are in a git revision, read through the program `git`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipelinekit.errors import UsageError

_SUFFIXES = (".yaml", ".yml")
_A_FILE = "100"  # modes 100644 and 100755; not links, not submodules


def repository(folder: Path) -> Path:
    """The top folder of the git repository that holds the folder. Raises UsageError."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    if done.returncode:
        raise UsageError(
            f"{folder} lies in no git repository", help="name two folders: diff OLD NEW"
        )
    return Path(done.stdout.decode().rstrip("\n")).resolve()


def commit(repository: Path, revision: str) -> str:
    """The hash of the commit that a revision names. Raises UsageError."""
    done = _git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if done.returncode or revision.startswith("-"):
        raise UsageError(
            f'"{revision}" is neither a folder nor a revision of {repository}',
            help="in a shallow clone fetch it first; `git log --oneline` shows what is there",
        )
    return done.stdout.decode().strip()


def merge_base(repository: Path, one: str, other: str) -> str:
    """The commit that two commits come from. Raises UsageError."""
    done = _git(repository, "merge-base", one, other)
    if done.returncode:
        raise UsageError(
            f"{one[:12]} and {other[:12]} have no common commit",
            help="in a shallow clone fetch more of the history",
        )
    return done.stdout.decode().strip()


def extract(repository: Path, commit: str, folder: Path, into: Path) -> bool:
    """Write the specs of a folder of the repository as they are in the commit.

    False if the commit has no such folder. Files are read as they are, whatever attributes say.
    """
    relative = folder.resolve().relative_to(repository)
    listed = _git(repository, "ls-tree", "-r", "-z", "--full-tree", commit, "--", str(relative))
    blobs = {}
    for entry in listed.stdout.split(b"\0"):
        head, _, name = entry.partition(b"\t")
        path = Path(name.decode(errors="surrogateescape"))
        if head.decode().startswith(_A_FILE) and path.suffix in _SUFFIXES:
            blobs[path] = head.split()[2]
    wanted = b"".join(blob + b"\n" for blob in blobs.values())
    content = _git(repository, "cat-file", "--batch", input=wanted).stdout
    start = 0
    for path, blob in blobs.items():
        end = content.index(b"\n", start)
        found = content[start:end].split()
        if found[0] != blob or len(found) != 3:
            raise UsageError(
                f"{path} of {commit[:12]} is not in this clone", help="fetch it: git fetch"
            )
        size = int(found[2])
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[end + 1 : end + 1 + size])
        start = end + size + 2
    return bool(blobs)


def _git(folder: Path, *arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], input=input, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", help="name two folders: diff OLD NEW") from error
