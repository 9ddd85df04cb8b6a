"""A development server: the real ClickHouse engine behind ClickHouse's HTTP interface.

    python -m pipelinekit.devstack.clickhouse.server --port 8123 --data FOLDER

It binds to the loopback, has no users or permissions, and its table functions read any file: it is
for development and tests, and says so in its log and in a header of every answer. Enough of the
interface for clickhouse-connect and curl: statements in the body or `query`, insert data in any
format, gzip, zstd and lz4 bodies, chunked or not, `param_*`, settings, sessions, `default_format`,
exception codes. Not built: compressed answers, ClickHouse's own block compression, progress
headers, external tables, cancelling a query by closing its connection.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import os
import signal
import sys
import threading
import urllib.parse
import uuid
from collections.abc import Mapping
from pathlib import Path

from pipelinekit.devstack.clickhouse.engine import Answer, Engine
from pipelinekit.devstack.clickhouse.failure import EngineError, code_of, status_of
from pipelinekit.devstack.clickhouse.request import read_body, read_parameters, read_query
from pipelinekit.devstack.ports import HOST

NOTICE = "for development only: no users, no permissions, reads any file"
_QUERIES_END_WITHIN_S = 10.0
_EMPTY_QUERY = 62
_PATHS = frozenset({"/", ""})
_READY_PATHS = frozenset({"/ping", "/replicas_status"})


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection, all on one engine."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, engine: Engine) -> None:
        super().__init__((HOST, port), Handler)
        self.engine = engine


class Handler(http.server.BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True  # else each answer waits 40 ms

    def do_HEAD(self) -> None:
        self._send(200, b"", {})

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        parameters = read_parameters(url.query)
        if url.path in _READY_PATHS or (url.path in _PATHS and "query" not in parameters):
            self._send(200, b"Ok.\n", {})
        else:
            self._answer(url.path, parameters)

    def do_POST(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        self._answer(url.path, read_parameters(url.query))

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        self.wfile.flush()  # buffered: the client waits for it before it sends the body
        return proceed

    def log_message(self, format: str, *args: object) -> None:
        """Requests aren't logged: the log is for what goes wrong."""

    def _answer(self, path: str, parameters: Mapping[str, str]) -> None:
        try:
            body = read_body(self.rfile, self.headers)
        except Exception as error:
            self.close_connection = True  # what is left of the body can't be told from a request
            self._refuse(error)
            return
        if path not in _PATHS:
            self._send(404, f"There is no handle {path}\n".encode(), {})
            return
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        try:
            is_get = self.command == "GET"
            query = read_query(parameters, self.headers, body, is_get=is_get)
            if not query.statement.strip():
                raise EngineError(_EMPTY_QUERY, "Syntax error: Empty query. (SYNTAX_ERROR)")
            answer = self.server.engine.run(query)
        except Exception as error:
            self._refuse(error)
            return
        headers = {
            "X-ClickHouse-Summary": _summary(answer),
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Format": query.format,
            "X-ClickHouse-Timezone": "UTC",
        }
        self._send(200, answer.body, headers)

    def _refuse(self, error: Exception) -> None:
        code = code_of(error)
        headers = {"X-ClickHouse-Exception-Code": str(code)}
        self._send(status_of(code), f"{error}\n".encode(), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        with contextlib.suppress(ConnectionError):  # the client may have gone
            self.send_response(status)
            self.send_header("X-Pipelinekit-Development-Server", NOTICE)
            self.send_header("Content-Type", "text/plain; charset=UTF-8")
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()


def serve(port: int, data: Path) -> None:
    """Serve until SIGTERM or SIGINT; then running queries end and the engine closes."""
    engine = Engine(data)
    server = Server(port, engine)

    def stop(number: int, frame: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"ClickHouse's engine on http://{HOST}:{port}, {NOTICE}", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    engine.close(_QUERIES_END_WITHIN_S)
    print("ended in order", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    serve(given.port, given.data)
    sys.stdout.flush()
    os._exit(0)  # threads may still wait on idle connections


def _summary(answer: Answer) -> str:
    return json.dumps(
        {
            "read_rows": str(answer.rows_read),
            "read_bytes": str(answer.bytes_read),
            "written_rows": str(answer.rows_written),
            "written_bytes": str(answer.bytes_written),
            "elapsed_ns": str(int(answer.elapsed_s * 1e9)),
        }
    )


if __name__ == "__main__":
    main()
