"""What an HTTP request asks for: its body decoded, its parameters sorted into their kinds."""

from __future__ import annotations

import gzip
import urllib.parse
from collections.abc import Mapping
from email.message import Message
from io import BufferedIOBase

from pipelinekit.devstack.clickhouse.engine import Query
from pipelinekit.devstack.clickhouse.failure import EngineError
from pipelinekit.devstack.clickhouse.sessions import DEFAULT_TIMEOUT_S

BODY_BYTES_MAX = 1 << 30
# Parameters of the interface that are no settings of a query. Users aren't checked.
_INTERFACE = frozenset(
    (
        *("query", "query_id", "database", "default_format", "client_protocol_version"),
        *("user", "password", "quota_key", "role"),
        *("session_id", "session_check", "session_timeout", "close_session"),
        *("buffer_size", "wait_end_of_query", "stacktrace", "compress", "decompress"),
    )
)
_PARAMETER = "param_"
_NOT_IMPLEMENTED = 48
_TOO_MANY_BYTES = 307


def read_query(
    parameters: Mapping[str, str], headers: Message, body: bytes, *, is_get: bool
) -> Query:
    """The query of a request. As in ClickHouse, `query` comes before the body, and a GET reads."""
    for name in ("compress", "decompress"):
        if parameters.get(name, "0") not in ("", "0"):
            raise EngineError(
                _NOT_IMPLEMENTED,
                f"{name}=1 (blocks in ClickHouse's own compression) is not built in this "
                "development server; use Content-Encoding.",
            )
    query = parameters.get("query", "").encode()
    settings = {
        name: value
        for name, value in parameters.items()
        if name not in _INTERFACE and not name.startswith(_PARAMETER)
    }
    if is_get:
        settings.setdefault("readonly", "2")
    return Query(
        statement=query + b"\n" + body if query and body else query or body,
        format=(
            parameters.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated"
        ),
        database=parameters.get("database") or headers.get("X-ClickHouse-Database") or "",
        settings=settings,
        parameters={
            name.removeprefix(_PARAMETER): value
            for name, value in parameters.items()
            if name.startswith(_PARAMETER)
        },
        session=parameters.get("session_id", ""),
        session_timeout_s=float(parameters.get("session_timeout") or DEFAULT_TIMEOUT_S),
        session_must_exist=parameters.get("session_check") == "1",
    )


def read_parameters(url_query: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(url_query, keep_blank_values=True))


def read_body(stream: BufferedIOBase, headers: Message) -> bytes:
    """The body, decoded. Raises EngineError for one that is too large or in an unknown encoding."""
    if (headers.get("Content-Type") or "").startswith("multipart/"):
        raise EngineError(
            _NOT_IMPLEMENTED,
            "multipart bodies (external tables) are not built in this development server.",
        )
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        body = _read_chunks(stream)
    else:
        size = int(headers.get("Content-Length") or 0)
        _require_size(size)
        body = stream.read(size)
    return _decode(body, (headers.get("Content-Encoding") or "identity").lower())


def _read_chunks(stream: BufferedIOBase) -> bytes:
    parts: list[bytes] = []
    total = 0
    while size := int(stream.readline().split(b";")[0], 16):
        total += size
        _require_size(total)
        parts.append(stream.read(size))
        stream.readline()
    while stream.readline().strip():  # trailers
        pass
    return b"".join(parts)


def _decode(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "zstd" | "lz4":
            import pyarrow as pa

            with pa.CompressedInputStream(pa.BufferReader(body), encoding) as stream:
                return bytes(stream.read())
        case _:
            raise EngineError(
                _NOT_IMPLEMENTED,
                f'Content-Encoding "{encoding}" is not one of gzip, zstd, lz4, which this '
                "development server reads.",
            )


def _require_size(size: int) -> None:
    if size > BODY_BYTES_MAX:
        raise EngineError(
            _TOO_MANY_BYTES, f"the body has more than the {BODY_BYTES_MAX} bytes accepted here."
        )
