"""Connections to the one engine. A connection is a session: it has a database and settings."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelinekit.devstack.clickhouse.failure import EngineError

# A new connection costs 0.5 ms, each statement that prepares it 0.3 ms: kept ones save both.
IDLE_MAX = 32
SESSIONS_MAX = 1000
DEFAULT_TIMEOUT_S = 60.0

Settings = Mapping[str, str]
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class Lease:
    """A connection on loan. `is_spoiled` says that no later request may find it as it is now."""

    connection: Any
    is_spoiled: bool = False


@dataclass(slots=True)
class _Session:
    connection: Any
    timeout_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    used_at: float = 0.0


class Sessions:
    """Thread-safe. Requests without a session id share idle connections that are set up alike."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: OrderedDict[Key, list[Any]] = OrderedDict()
        self._idle_count = 0
        self._named: dict[str, _Session] = {}

    @contextmanager
    def nameless(self, database: str, settings: Settings) -> Iterator[Lease]:
        """A connection with this database and these settings."""
        key = (database, tuple(sorted(settings.items())))
        lease = Lease(self._take(key) or self._prepared(database, settings))
        try:
            yield lease
        except BaseException:
            lease.is_spoiled = True
            raise
        finally:
            if lease.is_spoiled:
                lease.connection.close()
            else:
                self._give_back(key, lease.connection)

    @contextmanager
    def named(
        self, name: str, database: str, settings: Settings, *, timeout_s: float, must_exist: bool
    ) -> Iterator[Lease]:
        """The session's own connection; database and settings hold for this request only."""
        session = self._session(name, timeout_s, must_exist)
        if not session.lock.acquire(blocking=False):
            raise EngineError(373, f"Session {name} is locked by a concurrent client.")
        try:
            before = _current_database(session.connection)
            try:
                set_up(session.connection, database, settings)
                yield Lease(session.connection)
            finally:
                if database:
                    set_up(session.connection, before, {})
                for setting in settings:
                    session.connection.query(f"SET {identifier(setting)} = DEFAULT")
        finally:
            session.used_at = time.monotonic()
            session.lock.release()

    def close(self) -> None:
        with self._lock:
            idle = [connection for kept in self._idle.values() for connection in kept]
            named = [session.connection for session in self._named.values()]
            self._idle.clear()
            self._named.clear()
        for connection in (*idle, *named):
            connection.close()

    def _take(self, key: Key) -> Any | None:
        with self._lock:
            kept = self._idle.get(key)
            if not kept:
                return None
            self._idle_count -= 1
            connection = kept.pop()
            if not kept:
                del self._idle[key]
            return connection

    def _give_back(self, key: Key, connection: Any) -> None:
        surplus = None
        with self._lock:
            self._idle.setdefault(key, []).append(connection)
            self._idle.move_to_end(key)
            self._idle_count += 1
            if self._idle_count > IDLE_MAX:
                oldest = next(iter(self._idle))
                surplus = self._idle[oldest].pop()
                self._idle_count -= 1
                if not self._idle[oldest]:
                    del self._idle[oldest]
        if surplus is not None:
            surplus.close()

    def _prepared(self, database: str, settings: Settings) -> Any:
        connection = self._connect()
        try:
            set_up(connection, database, settings)
        except BaseException:
            connection.close()
            raise
        return connection

    def _session(self, name: str, timeout_s: float, must_exist: bool) -> _Session:
        now = time.monotonic()
        with self._lock:
            ended = [
                (key, session)
                for key, session in self._named.items()
                if now - session.used_at > session.timeout_s and not session.lock.locked()
            ]
            for key, session in ended:
                del self._named[key]
                session.connection.close()
            found = self._named.get(name)
            if found is None:
                if must_exist:
                    raise EngineError(372, f"Session {name} not found.")
                if len(self._named) >= SESSIONS_MAX:
                    raise EngineError(202, f"{SESSIONS_MAX} sessions are open; no more here.")
                found = self._named[name] = _Session(self._connect(), timeout_s)
            found.timeout_s = timeout_s
            found.used_at = now
            return found


def set_up(connection: Any, database: str, settings: Settings) -> None:
    if database:
        connection.query(f"USE {identifier(database)}")
    if settings:
        changes = (f"{identifier(name)} = {literal(value)}" for name, value in settings.items())
        connection.query(f"SET {', '.join(changes)}")


def identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _current_database(connection: Any) -> str:
    return bytes(connection.query("SELECT currentDatabase()", "TSVRaw").bytes()).decode().strip()
