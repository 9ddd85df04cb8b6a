"""The ClickHouse engine as a process of its own (server.py), started and stopped from here."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from pipelinekit.devstack import ports
from pipelinekit.devstack.service import Progress, Service, running
from pipelinekit.errors import Refused


class ClickHouse(Service):
    """A server that may be started, killed and started again on the same data."""

    name: ClassVar[str] = "clickhouse"
    title: ClassVar[str] = "ClickHouse"
    default_port: ClassVar[int] = 8123

    @property
    def url(self) -> str:
        return f"http://{ports.HOST}:{self.port}"

    @property
    def address(self) -> dict[str, str]:
        return {"url": self.url}

    def prepare(self, progress: Progress) -> None:
        if find_spec("chdb") is None:
            raise Refused(
                "the ClickHouse engine (Python package chdb-core) is not installed",
                help="pip install 'pipelinekit[local]'",
            )

    def command(self) -> list[str]:
        server = [sys.executable, "-m", "pipelinekit.devstack.clickhouse.server"]
        return [*server, "--port", str(self.port), "--data", str(self.folder / "data")]

    def is_answering(self) -> bool:
        connection = http.client.HTTPConnection(ports.HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().read() == b"Ok.\n"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def running_clickhouse(folder: Path, port: int | None = None) -> Iterator[ClickHouse]:
    """A server that answers, on a free port when none is named, stopped at the end."""
    with running(ClickHouse(folder, port or ports.free_port())) as clickhouse:
        yield clickhouse
