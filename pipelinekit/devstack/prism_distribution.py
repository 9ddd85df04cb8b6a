"""Prism, Beam's portable runner: built once from its pinned Go module into the user's cache.

Its binaries are published outside of the package registries, so it is compiled here (about two
minutes on two cores). Go comes with the extra `prism`, or from the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pipelinekit.devstack import kafka_distribution
from pipelinekit.devstack.process import locked
from pipelinekit.devstack.service import Progress, to_stderr
from pipelinekit.errors import Refused, Unreachable

VERSION = "2.77.0"  # the Beam SDK's own
_MODULE = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{VERSION}"
_OUTPUT_CHARACTERS = 1500


def home() -> Path:
    """The folder in the cache, whether or not it is there yet."""
    return kafka_distribution.home().with_name(f"prism-{VERSION}")


def program(progress: Progress = to_stderr) -> Path:
    """Prism's program, built if it isn't there. Raises Refused without Go, Unreachable when the
    modules can't be had."""
    found = home() / "prism"
    if found.exists():
        return found
    go = _go()
    home().parent.mkdir(parents=True, exist_ok=True)
    with locked(home().with_name(f"{home().name}.lock")):  # another process may be at it
        if not found.exists():
            progress(f"building Prism {VERSION} (two minutes, once) …")
            _build(go)
    return found


def _go() -> str:
    beside = Path(sys.executable).with_name("go")
    if beside.exists():
        return str(beside)
    found = shutil.which("go")
    if found is None:
        raise Refused(
            "Prism is built with Go, and this machine has none",
            help="install the extra: pip install 'pipelinekit[prism]'",
        )
    return found


def _build(go: str) -> None:
    """Modules and objects land in a scratch folder: a gigabyte that nobody needs again."""
    with tempfile.TemporaryDirectory(dir=home().parent, prefix="building-") as scratch:
        folder = Path(scratch)
        environment = {
            **os.environ,
            "GOBIN": str(folder / "bin"),
            "GOPATH": str(folder / "path"),
            "GOCACHE": str(folder / "cache"),
            "GOFLAGS": "-modcacherw -trimpath",
            "GOTOOLCHAIN": "local",
        }
        command = [go, "install", "-ldflags=-s -w", _MODULE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unreachable(
                f"Go did not build Prism {VERSION}; it says\n{done.stderr[-_OUTPUT_CHARACTERS:]}",
                help="check that Go reaches its module proxy (go env GOPROXY), then try again",
            )
        home().mkdir(exist_ok=True)
        shutil.move(folder / "bin" / "prism", home() / "prism.new")
        (home() / "prism.new").rename(home() / "prism")


if __name__ == "__main__":
    program()
