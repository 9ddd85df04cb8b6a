"""Processes of the local stack: started apart from their parent, found again, stopped by pid."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelinekit.errors import Refused, Unreachable, UsageError

_TERM_AFTER_S = 15.0
_POLL_S = 0.02
_LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its pid and start time: a pid alone may be another's by now."""

    pid: int
    started: float
    port: int

    @property
    def is_alive(self) -> bool:
        return _start_time(self.pid) == self.started

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def load(path: Path) -> Running | None:
        """What the file says if that process still runs, else None."""
        try:
            running = Running(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return running if running.is_alive else None


def spawn(command: Sequence[str], log: Path, port: int, pid_file: Path | None = None) -> Running:
    """Start a process that outlives a Ctrl-C of its parent; output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = Running(process.pid, _start_time(process.pid) or 0.0, port)
    if pid_file is not None:
        running.save(pid_file)
    return running


def wait_ready(
    running: Running, name: str, log: Path, is_ready: Callable[[], bool], timeout_s: float
) -> None:
    """Return when it answers. Raises Unreachable with the log's last lines."""
    end = time.monotonic() + timeout_s
    while not is_ready():
        if _is_gone(running):
            raise Unreachable(f"{name} ended while starting:\n{_tail(log)}", help=f"read {log}")
        if time.monotonic() > end:
            raise Unreachable(
                f"{name} did not answer within {timeout_s:.0f} s:\n{_tail(log)}",
                help=f"read {log}",
            )
        time.sleep(_POLL_S)


def stop(running: Running, timeout_s: float = _TERM_AFTER_S) -> None:
    """End it: asked first, killed after the time-out. Returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not running.is_alive:
            return
        os.kill(running.pid, number)
        end = time.monotonic() + timeout_s
        while not _is_gone(running) and time.monotonic() < end:
            time.sleep(_POLL_S)
    if running.is_alive:
        raise Refused(f"process {running.pid} can't be stopped")


def kill(running: Running) -> None:
    """End it as a crash would."""
    if running.is_alive:
        os.kill(running.pid, signal.SIGKILL)
        while not _is_gone(running):
            time.sleep(_POLL_S)


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, service: str) -> None:
    """Raises UsageError when something listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UsageError(
                f"port {port} for {service} is taken by another process",
                help=f"stop it, or choose another: --port {service}=PORT",
            ) from None


def _start_time(pid: int) -> float | None:
    """When the process started, None if there is none (or only its shell: a zombie)."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _is_gone(running: Running) -> bool:
    """Whether all of it has ended: a killed process is a zombie while threads still hold ports."""
    try:
        return os.waitpid(running.pid, os.WNOHANG)[0] == running.pid
    except ChildProcessError:  # not a child of ours
        return not running.is_alive


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])
