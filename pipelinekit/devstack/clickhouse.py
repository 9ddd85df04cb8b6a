"""The ClickHouse engine on the loopback, as a process of its own (clickhouse_server.py)."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelinekit.devstack import process
from pipelinekit.devstack.process import Running
from pipelinekit.errors import Refused

DEFAULT_PORT = 8123
_READY_S = 60.0


@dataclass(slots=True)
class ClickHouse:
    """A server on a folder and a port. It may be started, killed and started again."""

    folder: Path
    port: int
    running: Running | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    def start(self, pid_file: Path | None = None) -> None:
        """Returns when the server answers. Raises Unreachable with the log's last lines."""
        _require_engine()
        process.require_free(self.port, "clickhouse")
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "clickhouse.log"
        command = [sys.executable, "-m", "pipelinekit.devstack.clickhouse_server"]
        command += ["--port", str(self.port), "--data", str(self.folder / "data")]
        self.running = process.spawn(command, log, self.port, pid_file)
        process.wait_ready(self.running, "ClickHouse", log, lambda: _answers(self.url), _READY_S)

    def stop(self) -> None:
        if self.running is not None:
            process.stop(self.running)

    def kill(self) -> None:
        if self.running is not None:
            process.kill(self.running)


@contextmanager
def running_clickhouse(folder: Path, port: int | None = None) -> Iterator[ClickHouse]:
    """A server that answers, stopped at the end."""
    clickhouse = ClickHouse(folder, port or process.free_port())
    try:
        clickhouse.start()
        yield clickhouse
    finally:
        clickhouse.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _require_engine() -> None:
    from importlib.util import find_spec

    if find_spec("chdb") is None:
        raise Refused(
            "the ClickHouse engine is not installed",
            help="install the extra: pip install 'pipelinekit[local]'",
        )
