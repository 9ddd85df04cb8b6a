"""Processes of the local stack: started apart from their parent, found again, stopped by pid."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelinekit.errors import Refused, Unreachable

STOP_TIMEOUT_S = 15.0
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_POLL_S = 0.02
_LOG_LINES = 12
_LOG_TAIL_BYTES = 16 * 1024
# The start time that the system gives moves a little when its clock is set.
_SAME_START_S = 2.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its pid and start time (epoch seconds): a pid alone may be another's by now."""

    pid: int
    started: float
    port: int

    @property
    def is_alive(self) -> bool:
        _reap(self.pid)
        now = _start_time(self.pid)
        return now is not None and abs(now - self.started) < _SAME_START_S

    def save(self, path: Path) -> None:
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self)))
        scratch.replace(path)

    @staticmethod
    def load(path: Path) -> Running | None:
        """What the file says if that process still runs, else None."""
        try:
            running = Running(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return running if running.is_alive else None

    def send(self, number: signal.Signals) -> None:
        """Signal the process if it still runs."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def spawn(command: Sequence[str], log: Path, port: int) -> Running:
    """A process in a session of its own (no Ctrl-C reaches it); what it prints goes to `log`."""
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_INTERRUPTS,
    )
    return Running(pid, _start_time(pid) or time.time(), port)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM wait: for steps of which none or all have to happen."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait_ready(
    running: Running, name: str, log: Path, is_ready: Callable[[], bool], timeout_s: float
) -> None:
    """Return once it answers. Raises Unreachable with the last lines of its log."""
    end = time.monotonic() + timeout_s
    while not is_ready():
        if not running.is_alive:
            raise Unreachable(
                f"{name} ended while starting; its log ends with\n{tail(log)}",
                help=f"read {log}",
            )
        if time.monotonic() > end:
            raise Unreachable(
                f"{name} gave no answer within {timeout_s:g} s; its log ends with\n{tail(log)}",
                help=f"read {log}",
            )
        time.sleep(_POLL_S)


def stop(running: Running, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """End it: asked first, killed after the time-out. Returns when it is gone."""
    running.send(signal.SIGCONT)  # a paused process acts on SIGTERM only once it goes on
    for number in (signal.SIGTERM, signal.SIGKILL):
        running.send(number)
        if _is_gone_within(running, timeout_s):
            return
    raise Refused(f"process {running.pid} did not end within {timeout_s:g} s of SIGKILL")


def kill(running: Running) -> None:
    """End it as a crash would. Returns when it is gone."""
    running.send(signal.SIGKILL)
    if not _is_gone_within(running, STOP_TIMEOUT_S):
        raise Refused(f"process {running.pid} did not end within {STOP_TIMEOUT_S:g} s of SIGKILL")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tail(log: Path) -> str:
    """The log's last lines, indented; empty when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-_LOG_LINES:])


def _is_gone_within(running: Running, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while running.is_alive:
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _start_time(pid: int) -> float | None:
    """When the process started, None if there is none or only what its parent has to collect."""
    import psutil

    try:
        process = psutil.Process(pid)
        # The first thread of several can be gone before the rest, which hold port and files.
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _reap(pid: int) -> None:
    """Collect the process if it is an ended child of this one."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
