"""The services of a project, started apart from the command that starts them, found by the next."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelinekit.devstack import process
from pipelinekit.devstack.clickhouse import ClickHouse
from pipelinekit.devstack.flink import Flink
from pipelinekit.devstack.kafka import Kafka
from pipelinekit.devstack.service import Component, Progress, ended_by_sigterm, to_stderr
from pipelinekit.errors import UsageError

SERVICES: Mapping[str, type[Component]] = {kind.name: kind for kind in (Kafka, ClickHouse, Flink)}
_OF_JOBS = ("jobs", "flink-checkpoints")  # beside the folders of local runs
_PORT_FILE = "port"
_ENVIRONMENT = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Up:
    """A service that answers; `was_running` says that this call found it."""

    service: Component
    was_running: bool


@dataclass(frozen=True, slots=True)
class FlinkSize:
    """How many of each a cluster is to have; None for as many as it has, a new one its default."""

    task_managers: int | None = None
    job_managers: int | None = None

    def refuse_another(self, found: Flink) -> None:
        """Raises UsageError if the cluster that was found has not as many."""
        for what in ("task_managers", "job_managers"):
            wanted, there = getattr(self, what), getattr(found, what)
            if wanted not in (None, there):
                words = what.replace("_", " ")
                raise UsageError(
                    f"flink runs already, with {there} {words}, and {wanted} were asked for",
                    help="stop it first: pipelinekit down flink",
                )


class Stack:
    """The services on one state folder. Two processes that change it wait for each other."""

    def __init__(self, state: Path) -> None:
        self.folder = state.absolute() / "stack"

    def up(
        self,
        names: Iterable[str],
        ports: Mapping[str, int],
        progress: Progress = to_stderr,
        *,
        flink_size: FlinkSize = FlinkSize(),
    ) -> list[Up]:
        """The services, all answering; one that fails, or a Ctrl-C, stops what this call started.

        Raises what `Service.start` raises, and UsageError for one that runs on another port.
        """
        with ended_by_sigterm(), self._locked():
            ups: list[Up] = []
            try:
                for name in names:
                    ups.append(self._up(name, ports.get(name), flink_size, progress))  # noqa: PERF401
            except BaseException:
                for up in ups:
                    if not up.was_running:
                        up.service.stop()
                        progress(f"{up.service.name} stopped again: this call had started it")
                raise
            return ups

    def down(
        self, names: Iterable[str], *, delete_data: bool = False, progress: Progress = to_stderr
    ) -> None:
        """Stop what runs; the data stays unless told otherwise.

        Of deleted topics the runs' states go too: their positions would be of others.
        """
        if not self.folder.exists():
            progress(f"nothing runs: there is no stack in {self.folder}")
            return
        with self._locked():
            for name in names:
                service = self.find(name)
                if service is None:
                    progress(f"{name} does not run")
                else:
                    service.stop()
                    progress(f"{name} stopped (process {service.pid})")
                if delete_data and (self.folder / name).exists():
                    shutil.rmtree(self.folder / name)
                    progress(f"{name}: data deleted ({self.folder / name})")
                    if name == Kafka.name:
                        self._delete_states(progress)

    def _delete_states(self, progress: Progress) -> None:
        from pipelinekit.runtime.local.checkpoint import MANIFEST, CheckpointStore

        for folder in self.folder.parent.iterdir():
            is_of_a_run = (folder / MANIFEST).exists()
            if folder == self.folder or not (is_of_a_run or folder.name in _OF_JOBS):
                continue
            if is_of_a_run:
                try:
                    CheckpointStore(folder).close()
                except UsageError as error:
                    progress(f"kafka: {error.message}: left as it is")
                    continue
            shutil.rmtree(folder)
            progress(f"kafka: state of runs deleted ({folder})")

    def find(self, name: str) -> Component | None:
        """The service if it runs."""
        return SERVICES[name].found(self.folder / name)

    def _up(self, name: str, port: int | None, size: FlinkSize, progress: Progress) -> Up:
        found = self.find(name)
        if found is not None and port not in (None, found.port):
            raise UsageError(
                f"{name} runs already, on port {found.port} (process {found.pid}), "
                f"and port {port} was asked for",
                help=f"stop it first: pipelinekit down {name}",
            )
        if isinstance(found, Flink):
            size.refuse_another(found)
        if found is not None and found.is_alive:
            found.wait_ready()
            return Up(found, was_running=True)
        last = self._last_port(name) if found is None and port is None else None
        service = found or self._new(name, port or last, size)
        where = f" on port {last}, as last time" if last is not None else ""
        progress(f"starting {name}{where} …")
        service.start(progress)
        (self.folder / name / _PORT_FILE).write_text(f"{service.port}\n")
        return Up(service, was_running=False)

    def _last_port(self, name: str) -> int | None:
        """The port that the service last ran on, None if that is its usual one."""
        try:
            port = int((self.folder / name / _PORT_FILE).read_text())
        except (OSError, ValueError):
            return None
        return None if port == SERVICES[name].default_port else port

    def _new(self, name: str, port: int | None, size: FlinkSize) -> Component:
        kind = SERVICES[name]
        folder, port = self.folder / name, port or kind.default_port
        if kind is Flink:
            wanted = {k: v for k, v in asdict(size).items() if v is not None}
            return Flink(folder, port, **wanted)
        return kind(folder, port)

    def _locked(self) -> AbstractContextManager[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return process.locked(self.folder / "lock")


def state_folder(state: Path | None, environment: str, start: Path) -> Path:
    """Where state lies: the folder named, else `.pipelinekit/<environment>/` beside the project
    that `start` is in, else under `start`."""
    if state is not None:
        return state
    if not _ENVIRONMENT.fullmatch(environment):
        raise UsageError(
            f'"{environment}" is not a name of an environment: letters, digits, "_" and "-"',
            help="choose one of those in pipelinekit.yaml",
        )
    return _beside_project(start.resolve()) / ".pipelinekit" / environment


def _beside_project(start: Path) -> Path:
    from pipelinekit.spec.layout import find_root

    try:
        root = find_root(start)
    except UsageError:
        return start
    return root.parent if root.name == "specs" else root
