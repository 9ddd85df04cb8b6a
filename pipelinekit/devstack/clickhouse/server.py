"""A development server: the real ClickHouse engine behind ClickHouse's HTTP interface.

    python -m pipelinekit.devstack.clickhouse.server --port 8123 --data FOLDER

It binds to the loopback, has no users or permissions, and its table functions read any file: it is
for development and tests. Enough of the interface for clickhouse-connect, curl and dashboards:
statements in the body or `query`, insert data in any format, gzip/zstd/lz4 bodies, `param_*`,
settings, `default_format`, exception codes. Not: sessions, temporary tables, progress headers.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.server
import os
import queue
import re
import signal
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

# Parameters of the interface that are no settings of a query.
_NOT_SETTINGS = frozenset(
    (
        *("query", "database", "user", "password", "quota_key", "role", "default_format"),
        *("session_id", "session_check", "session_timeout", "query_id", "client_protocol_version"),
        *("enable_http_compression", "compress", "decompress", "wait_end_of_query", "buffer_size"),
        *("http_headers_progress_interval_ms", "send_progress_in_http_headers"),
        "cancel_http_readonly_queries_on_client_close",
    )
)
# The data of an insert follows the format's name and one separator.
_INSERT = re.compile(
    rb"^\s*INSERT\s+INTO\b((?:(?!\bVALUES\b|\bSELECT\b).)*?)\bFORMAT\s+(\w+)[ \t]*(?:;?\r?\n|;|$)",
    re.IGNORECASE | re.DOTALL,
)
_SETTINGS = re.compile(r"\bSETTINGS\b.*$", re.IGNORECASE | re.DOTALL)
_STATUS_OF_CODE = {60: 404, 81: 404, 62: 400, 47: 400, 53: 400, 516: 401, 192: 401}
_UNKNOWN_CODE = 1002
HEADER = "X-Pipelinekit-Development-Server"


class Engine:
    """One engine on a data folder and a pool of its connections, a session each."""

    def __init__(self, data: str) -> None:
        import chdb

        os.makedirs(data, exist_ok=True)
        self._connect: Callable[[], Any] = lambda: chdb.connect(data)
        self._first = self._connect()  # keeps the engine alive
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._scratch = "/dev/shm" if os.path.isdir("/dev/shm") else None

    def run(
        self,
        statement: bytes,
        output_format: str,
        database: str | None,
        settings: dict[str, str],
        parameters: dict[str, str],
    ) -> bytes:
        """The answer in `output_format`. Raises RuntimeError with the engine's text."""
        with self._connection() as connection, self._as_query(statement) as query:
            changed = []
            try:
                if database:
                    connection.query(f"USE {_identifier(database)}")
                for name, value in settings.items():
                    connection.query(f"SET {_identifier(name)} = {_literal(value)}")
                    changed.append(name)
                answer = connection.query(query, output_format, params=parameters or None)
                return bytes(answer.bytes() or b"")
            finally:
                for name in changed:
                    connection.query(f"SET {_identifier(name)} = DEFAULT")
                if database:
                    connection.query("USE default")

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get().close()
        self._first.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    @contextlib.contextmanager
    def _as_query(self, statement: bytes) -> Iterator[str]:
        """The statement as text; insert data goes through a file, since it may be binary."""
        found = _INSERT.match(statement)
        if not found or len(statement) <= found.end():
            yield statement.decode()
            return
        head, name = found[1].decode(), found[2].decode()
        settings = ""
        if where := _SETTINGS.search(head):
            settings, head = where[0], head[: where.start()]
        with tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".insert") as file:
            file.write(memoryview(statement)[found.end() :])
            file.flush()
            source = f"FROM INFILE '{file.name}' COMPRESSION 'none'"
            yield f"INSERT INTO {head} {source} {settings} FORMAT {name}"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request of ClickHouse's HTTP interface."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True  # else each answer waits 40 ms
    engine: Engine

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._send(200, b"", {})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        try:
            body = self._body()
        except (OSError, ValueError, ImportError) as error:
            self._send(400, f"the body can't be read: {error}\n".encode(), {})
            return
        if url.path == "/ping":
            self._send(200, b"Ok.\n", {})
            return
        given = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        query = given.get("query", "").encode()
        statement = query + b"\n" + body if query and body else query or body
        if not statement.strip():
            self._send(200, b"Ok.\n", {})
            return
        try:
            answer = self.engine.run(
                statement,
                given.get("default_format")
                or self.headers.get("X-ClickHouse-Format")
                or "TabSeparated",
                given.get("database") or self.headers.get("X-ClickHouse-Database"),
                {
                    k: v
                    for k, v in given.items()
                    if k not in _NOT_SETTINGS and not k.startswith("param_")
                },
                {k[len("param_") :]: v for k, v in given.items() if k.startswith("param_")},
            )
        except Exception as error:
            text = str(error)
            found = re.search(r"Code: (\d+)", text)
            code = int(found[1]) if found else _UNKNOWN_CODE
            status = _STATUS_OF_CODE.get(code, 500)
            self._send(status, text.encode(), {"X-ClickHouse-Exception-Code": str(code)})
            return
        headers = {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"}
        self._send(200, answer, headers)

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.headers.get("Content-Encoding"):
            case None | "" | "identity":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "zstd":
                import pyarrow as pa

                stream = pa.CompressedInputStream(pa.BufferReader(body), "zstd")
                return bytes(stream.read())
            case "lz4":
                import lz4.frame

                return bytes(lz4.frame.decompress(body))
            case other:
                raise ValueError(f'Content-Encoding "{other}" is not known here')

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header(HEADER, "yes")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def serve(port: int, data: str) -> None:
    """Serve until SIGTERM or SIGINT, then close the engine."""
    engine = Engine(data)
    handler = type("BoundHandler", (Handler,), {"engine": engine})
    server = Server(("127.0.0.1", port), handler)

    def stop(number: int, frame: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"development server, not for production: http://127.0.0.1:{port}", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    engine.close()


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", required=True)
    given = parser.parse_args()
    serve(given.port, given.data)
    sys.stdout.flush()
    os._exit(0)  # request threads may still wait on idle connections


if __name__ == "__main__":
    main()
