"""What the local stack is made of: processes on a folder and a port, started as often as needed."""

from __future__ import annotations

import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import ClassVar, NoReturn, Self, TypeVar

from pipelinekit.devstack import ports, process
from pipelinekit.devstack.process import Running
from pipelinekit.errors import UsageError

Progress = Callable[[str], None]
READY_TIMEOUT_S = 60.0
_PROCESS_FILE = "process.json"


def to_stderr(line: str) -> None:
    """The plainest progress: a line for the person waiting."""
    print(line, file=sys.stderr, flush=True)


class Component(ABC):
    """What `up` starts: it keeps its folder and port for life; its processes come and go."""

    name: ClassVar[str]
    title: ClassVar[str]
    default_port: ClassVar[int]

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder.absolute()
        self.port = port

    @classmethod
    @abstractmethod
    def found(cls, folder: Path) -> Self | None:
        """What runs on this folder, started by whomever; None if nothing does."""

    @property
    @abstractmethod
    def address(self) -> dict[str, str]:
        """What a client needs, as `up --format json` prints it."""

    @property
    @abstractmethod
    def log(self) -> Path:
        """Where to read what it says."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process that answers on the port."""

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether all of it runs."""

    @abstractmethod
    def start(self, progress: Progress = to_stderr) -> None:
        """Returns when it answers; when that fails, nothing is left running."""

    @abstractmethod
    def wait_ready(self) -> None:
        """Returns when it answers. Raises Unreachable with its log's last lines."""

    @abstractmethod
    def stop(self) -> None:
        """End it as an operator would: in order, data whole. Fine when it doesn't run."""


class Service(Component):
    """A component that is one process."""

    # What `--port` calls it, where that isn't its name.
    port_name: ClassVar[str | None] = None

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self._running: Running | None = None

    @classmethod
    def found(cls, folder: Path) -> Self | None:
        service = cls(folder, 0)
        if not service.attach():
            return None
        service.port = service.running.port
        return service

    def attach(self) -> bool:
        """Take over the process that runs on this folder; False if none does."""
        self._running = Running.load(self.folder / _PROCESS_FILE)
        return self._running is not None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def running(self) -> Running:
        """The process started last. Raises UsageError before the first start."""
        if self._running is None:
            raise UsageError(f"{self.name} has not been started")
        return self._running

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def is_alive(self) -> bool:
        return self._running is not None and self._running.is_alive

    def start(self, progress: Progress = to_stderr) -> None:
        """Returns when it answers; when that fails, nothing is left running.

        Raises Refused when a program it needs is missing, UsageError when the port is taken,
        Unreachable with its log's last lines when it doesn't come up.
        """
        if self.is_alive:
            raise UsageError(f"{self.name} runs already, as process {self.pid}")
        try:
            self.spawn(progress)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def spawn(self, progress: Progress = to_stderr) -> None:
        """Start the process and return at once."""
        self.prepare(progress)
        ports.require_free(self.port, self.port_name or self.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with process.uninterrupted():
            self._running = process.spawn(command, self.log, self.port)
            self._running.save(self.folder / _PROCESS_FILE)

    def wait_ready(self) -> None:
        answers = self.is_answering
        process.wait_ready(self.running, self.title, self.log, answers, READY_TIMEOUT_S)

    def stop(self) -> None:
        if self._running is not None:
            process.stop(self._running)
            (self.folder / _PROCESS_FILE).unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        process.kill(self.running)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        self.running.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.running.send(signal.SIGCONT)

    @abstractmethod
    def prepare(self, progress: Progress) -> None:
        """Fetch what a start needs and doesn't have."""

    @abstractmethod
    def command(self) -> list[str]:
        """The process's command line, its configuration written into the folder."""

    @abstractmethod
    def is_answering(self) -> bool:
        """Whether the port answers in the service's own protocol."""


C = TypeVar("C", bound=Component)


@contextmanager
def running(component: C) -> Iterator[C]:
    """The component, started, and stopped at the end whatever ends it: also SIGINT and SIGTERM."""
    with ended_by_sigterm():
        try:
            component.start()
            yield component
        finally:
            component.stop()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises SystemExit (as SIGINT raises KeyboardInterrupt), so that what is open
    gets closed. A handler that the program has set itself stays."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
