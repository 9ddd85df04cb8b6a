"""Flink's REST interface, as far as starting a cluster needs it."""

from __future__ import annotations

import http.client
import json

from pipelinekit.devstack import ports


def answer(port: int, path: str) -> dict[str, list[dict[str, str | int]]] | None:
    """The JSON that it answers, None without an answer."""
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        found = connection.getresponse()
        body = found.read()
        return json.loads(body) if found.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
