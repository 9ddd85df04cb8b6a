"""The archive of Flink's classes, made from a job manager's first start; all parts use it.

It holds for one class path, or one that begins with it: the job server's jar comes last.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipelinekit.devstack import class_archive, ports, process
from pipelinekit.devstack.flink import distribution, settings
from pipelinekit.devstack.flink.rest import answer
from pipelinekit.devstack.process import locked
from pipelinekit.devstack.service import READY_TIMEOUT_S, Progress

JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"


def place() -> Path:
    return class_archive.place(distribution.home())


def make(progress: Progress) -> None:
    """Make the archive if there is none.

    A Java that can't make one leaves an empty file: starts are slower then, and the try isn't
    repeated.
    """
    if place().exists():
        return
    with locked(distribution.lock()):
        if not place().exists():
            progress("preparing Flink for fast starts (once) …")
            _make()


def _make() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, rest = Path(scratch), ports.free_port()
        made, log = folder / "classes.jsa", folder / "jobmanager.log"
        made.touch()
        options = {
            "rest.port": str(rest),
            "rest.bind-port": str(rest),
            "jobmanager.rpc.port": str(ports.free_port()),
            "metrics.reporter.prom.port": str(ports.free_port()),
            "io.tmp.dirs": scratch,
        }
        settings.write(folder, options)
        java = settings.java(folder, distribution.class_path(), f"-XX:ArchiveClassesAtExit={made}")
        running = process.spawn([*java, JOB_MANAGER, "--configDir", scratch], log, rest)
        try:
            is_answering = lambda: answer(rest, "/overview") is not None  # noqa: E731
            process.wait_ready(running, "Flink", log, is_answering, READY_TIMEOUT_S)
        finally:
            process.stop(running, READY_TIMEOUT_S)
        class_archive.move(made, place())
