"""The one ClickHouse engine on a data folder, asked from many threads at a time."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelinekit.devstack.clickhouse.failure import EngineError
from pipelinekit.devstack.clickhouse.sessions import DEFAULT_TIMEOUT_S, Lease, Sessions
from pipelinekit.devstack.clickhouse.statement import changes_session, split_insert

_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and what the request says about it; an INSERT's data is behind its format."""

    statement: bytes
    format: str = "TabSeparated"
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    session_timeout_s: float = DEFAULT_TIMEOUT_S
    session_must_exist: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    rows_read: int
    bytes_read: int
    rows_written: int
    bytes_written: int
    elapsed_s: float


class Engine:
    """Queries run side by side, each on a connection of its own."""

    def __init__(self, data: Path) -> None:
        import chdb

        data.mkdir(parents=True, exist_ok=True)
        # The first connection starts the engine and keeps it: the others come and go.
        self._keeper = chdb.connect(str(data))
        self._sessions = Sessions(lambda: chdb.connect(str(data)))
        self._scratch = str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None
        self._running = 0
        self._idle = threading.Condition()

    def run(self, query: Query) -> Answer:
        """The answer. Raises whatever the engine raises, its text starting with the code."""
        with self._counted(), self._lease(query) as lease:
            with self._as_text(query.statement) as text:
                parameters = dict(query.parameters)
                result = lease.connection.query(text, query.format, params=parameters)
            lease.is_spoiled = changes_session(query.statement)
            return Answer(
                body=bytes(result.bytes() or b""),
                rows_read=result.storage_rows_read(),
                bytes_read=result.storage_bytes_read(),
                rows_written=result.rows_written(),
                bytes_written=result.bytes_written(),
                elapsed_s=result.elapsed(),
            )

    def close(self, timeout_s: float) -> None:
        """Let running queries end, at most for the time-out, then close the engine."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, timeout_s)
        self._sessions.close()
        self._keeper.close()

    def _lease(self, query: Query) -> AbstractContextManager[Lease]:
        if not query.session:
            return self._sessions.nameless(query.database, query.settings)
        return self._sessions.named(
            query.session,
            query.database,
            query.settings,
            timeout_s=query.session_timeout_s,
            must_exist=query.session_must_exist,
        )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    @contextmanager
    def _as_text(self, statement: bytes) -> Iterator[str]:
        """The statement as the engine takes it. An INSERT's data goes by a file: a statement is
        text, and the engine's own streamed insert keeps errors of the last step to itself."""
        try:
            insert = split_insert(statement)
            if insert is None:
                yield statement.decode()
                return
        except UnicodeDecodeError as error:
            raise EngineError(62, f"Syntax error: the statement is not UTF-8: {error}") from error
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix="pipelinekit-") as file:
            file.write(insert.data)
            file.flush()
            yield insert.from_file(file.name)
