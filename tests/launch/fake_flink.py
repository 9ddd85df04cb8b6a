"""A job manager's REST interface with the answers that Flink 1.19.3 gave for a job of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

JOB = "50adf3c922f3f8c38628e23e8488e7e9"
PANES, PROGRESS = "a2a25a28f1105b21a7e483a793475e55", "f4e862a9677df390384d87e33bbc8125"
_RECORDED = Path(__file__).parent / "recorded_flink.json"


class FakeFlink:
    """Answers what was recorded; a test may change `answers`, by path.

    `then` is what befalls the next requests, one each: a status, "silence" for no answer at all,
    or the text of an error. `asked` is the method and path of each. The count of messages grows
    from look to look.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = json.loads(_RECORDED.read_text())
        self.then: list[int | str] = []
        self.asked: list[str] = []
        self._is_closed = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                fake.asked.append(f"{self.command} {urlsplit(self.path).path}")
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                fate = fake.then.pop(0) if fake.then else 200
                if fate == "silence":
                    fake._is_closed.wait()
                    return
                found = fake._answer(self.path)
                error = fate if isinstance(fate, str) else f"status {fate}"
                status = 404 if found is None else 500 if isinstance(fate, str) else fate
                self.send_response(status)
                self.end_headers()
                body = found if status == 200 else {"errors": [error]}
                self.wfile.write(json.dumps(body).encode())

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def do_PATCH(self) -> None:
                self.answer()

            def log_message(self, *words: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def counters(self, vertex: str, **values: int) -> None:
        """Let the vertex have these counters and no other."""
        self.answers[f"/jobs/{JOB}/vertices/{vertex}/metrics"] = [
            {"id": f"0.[1]stage.pipelinekit_{name}", "value": str(value)}
            for name, value in values.items()
        ]

    def close(self) -> None:
        """From now on connections are refused."""
        self._is_closed.set()
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, path: str) -> Any:
        split = urlsplit(path)
        found = self.answers.get(split.path)
        if found is None or not split.path.endswith("/metrics"):
            return found
        wanted = parse_qs(split.query).get("get", [""])[0].split(",")
        for metric in found:
            if metric["id"] in wanted and metric["id"].endswith("_messages"):
                metric["value"] = str(int(metric["value"]) + 50)
        if wanted == [""]:
            return [{"id": m["id"]} for m in found]
        return [m for m in found if m["id"] in wanted]


@contextmanager
def fake_flink() -> Iterator[FakeFlink]:
    fake = FakeFlink()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield fake
    finally:
        fake.close()
        thread.join()
