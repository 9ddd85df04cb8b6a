"""The front as clients see it: clickhouse-connect, and plain HTTP as curl speaks it."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

pytestmark = pytest.mark.clickhouse


@pytest.fixture
def client(clickhouse, database) -> Iterator[Any]:
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=clickhouse.port, database=database, autogenerate_session_id=False
    ) as client:
        yield client


@pytest.fixture
def numbers(client) -> str:
    """A table (n Int64, text String)."""
    client.command("CREATE TABLE numbers (n Int64, text String) ENGINE = MergeTree ORDER BY n")
    return "numbers"


@pytest.fixture
def http_client(clickhouse) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", clickhouse.port, timeout=30)
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection,
    statement: bytes = b"",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    **parameters: str,
) -> tuple[http.client.HTTPResponse, str]:
    connection.request(method, f"/?{urlencode(parameters)}", statement, headers or {})
    response = connection.getresponse()
    return response, response.read().decode()


def zstd(data: bytes) -> bytes:
    compressed: bytes = pa.compress(data, "zstd", asbytes=True)
    return compressed


# clickhouse-connect


def test_native_rows_come_back_as_inserted(client, numbers) -> None:
    rows = [(-1, "a\tb\n'\\"), (2**62, "é"), (0, "")]

    summary = client.insert(numbers, rows, column_names=["n", "text"])

    assert summary.written_rows == 3
    assert client.query("SELECT n, text FROM numbers ORDER BY n").result_rows == sorted(rows)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4", None])
def test_arrow_rows_come_back_as_inserted(
    clickhouse, client, numbers, database, compression
) -> None:
    table = pa.table({"n": pa.array(range(50_000), pa.int64()), "text": ["x"] * 50_000})
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=clickhouse.port, database=database, compress=compression or False
    ) as writer:
        writer.insert_arrow(numbers, table)

    read = client.query_arrow("SELECT count() AS c, sum(n) AS s FROM numbers")

    assert read.to_pylist() == [{"c": 50_000, "s": 49_999 * 25_000}]


def test_parameters_reach_the_engine_typed(client) -> None:
    values = {"n": 41, "words": ["it's", "a\\b", "tab\t"], "nothing": None}

    rows = client.query(
        "SELECT {n:Int32} + 1, {words:Array(String)}, {nothing:Nullable(String)}", parameters=values
    ).result_rows

    assert rows == [(42, ["it's", "a\\b", "tab\t"], None)]


def test_settings_hold_for_their_request_alone(client) -> None:
    asked = "SELECT getSetting('max_threads')"

    first = client.query(asked, settings={"max_threads": 7}).result_rows
    second = client.query(asked).result_rows

    assert first == [(7,)]
    assert second != [(7,)]


def test_a_session_keeps_its_temporary_table_and_settings(clickhouse, database) -> None:
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=clickhouse.port, database=database, session_id=f"s_{database}"
    ) as client:
        client.command("CREATE TEMPORARY TABLE kept (n Int8)")
        client.command("SET max_threads = 5")

        client.insert("kept", [(1,), (2,)], column_names=["n"], column_type_names=["Int8"])

        assert client.query("SELECT sum(n), getSetting('max_threads') FROM kept").result_rows == [
            (3, 5)
        ]


def test_without_a_session_nothing_stays(client) -> None:
    client.command("CREATE TEMPORARY TABLE gone (n Int8)")

    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT * FROM gone")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT nocolumn", 47),
        ("SELECT * FROM notable", 60),
        ("SELEC 1", 62),
        ("SELECT throwIf(1)", 395),
    ],
)
def test_exceptions_carry_their_code(client, statement, code) -> None:
    with pytest.raises(DatabaseError, match=f"[Cc]ode:? {code}"):
        client.query(statement)


def test_data_over_too_many_partitions_is_refused(client) -> None:
    client.command(
        "CREATE TABLE parts (n Int64) ENGINE = MergeTree ORDER BY n PARTITION BY n % 1000"
    )

    with pytest.raises(DatabaseError, match="Too many partitions"):
        client.insert("parts", [(n,) for n in range(101)], column_names=["n"])

    assert client.query("SELECT count() FROM parts").result_rows == [(0,)]


def test_readers_go_on_while_rows_are_inserted(clickhouse, client, numbers, database) -> None:
    """Four readers see only whole inserts, and none waits for an insert to end."""
    batch = pa.table({"n": pa.array(range(400_000), pa.int64()), "text": ["x"] * 400_000})
    stop = threading.Event()
    counts: list[int] = []
    failures: list[Exception] = []

    def read() -> None:
        with clickhouse_connect.get_client(
            host="127.0.0.1", port=clickhouse.port, database=database, autogenerate_session_id=False
        ) as reader:
            while not stop.is_set():
                try:
                    counts.append(reader.query("SELECT count() FROM numbers").result_rows[0][0])
                except Exception as error:
                    failures.append(error)
                    return

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        client.insert_arrow(numbers, batch)
    stop.set()
    for reader in readers:
        reader.join()

    assert failures == []
    assert len(counts) > 12  # each would have been held up by each insert
    assert set(counts) <= {0, 400_000, 800_000, 1_200_000}


# plain HTTP


@pytest.mark.parametrize("path", ["/ping", "/"])
def test_it_says_that_it_is_there_and_for_development(http_client, path) -> None:
    http_client.request("GET", path)
    response = http_client.getresponse()

    assert response.read() == b"Ok.\n"
    assert "development" in response.getheader("X-Pipelinekit-Development-Server")


def test_head_has_no_body(http_client) -> None:
    response, body = ask(http_client, method="HEAD")

    assert (response.status, body) == (200, "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"query": "SELECT 1 AS x"}, "1\n"),
        ({"query": "SELECT 1 AS x FORMAT JSONEachRow"}, '{"x":1}\n'),
        ({"query": "SELECT 1 AS x", "default_format": "CSVWithNames"}, '"x"\n1\n'),
        ({"query": "SELECT {a:String}", "param_a": "it's \\t"}, "it\\'s \\t\n"),
    ],
)
def test_get_reads(http_client, given, expected) -> None:
    response, body = ask(http_client, method="GET", **given)

    assert (response.status, body) == (200, expected)


def test_get_does_not_write(http_client, database) -> None:
    response, body = ask(
        http_client, method="GET", query=f"CREATE TABLE {database}.t (n Int8) ENGINE = Memory"
    )

    assert response.getheader("X-ClickHouse-Exception-Code") == "164"
    assert "readonly" in body


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("zstd", lambda data: zstd(data[:9]) + zstd(data[9:])),
        ("lz4", lambda data: pa.compress(data, "lz4", asbytes=True)),
    ],
)
def test_bodies_are_decoded(http_client, encoding, encode) -> None:
    response, body = ask(
        http_client,
        encode(b"SELECT sum(number) FROM numbers(10)"),
        headers={"Content-Encoding": encoding},
    )

    assert (response.status, body) == (200, "45\n")


def test_an_unknown_encoding_is_refused_by_name(http_client) -> None:
    response, body = ask(http_client, b"SELECT 1", headers={"Content-Encoding": "br"})

    assert response.status == 501
    assert '"br"' in body


def test_a_chunked_insert_is_put_together(http_client, client, numbers, database) -> None:
    lines = (b"%d\tx\n" % n for n in range(1000))
    query = urlencode({"query": "INSERT INTO numbers FORMAT TSV", "database": database})
    http_client.request("POST", f"/?{query}", lines, encode_chunked=True)
    response = http_client.getresponse()

    assert (response.status, response.read()) == (200, b"")
    assert json.loads(response.getheader("X-ClickHouse-Summary"))["written_rows"] == "1000"
    assert client.query("SELECT count() FROM numbers").result_rows == [(1000,)]


def test_an_insert_without_data_writes_nothing(http_client, numbers, database) -> None:
    response, _ = ask(http_client, b"INSERT INTO numbers FORMAT Native\n", database=database)

    assert response.status == 200


@pytest.mark.parametrize(
    ("statement", "parameters", "status", "code"),
    [
        (b"SELECT * FROM notable", {}, 404, "60"),
        (b"SELECT 1", {"database": "nodatabase"}, 404, "81"),
        (b"SELECT 1", {"no_setting": "1"}, 404, "115"),
        (b"SELECT", {}, 400, "62"),
        (b"", {}, 400, "62"),
        (b"SELECT '\xff'", {}, 400, "62"),
        (b"SELECT {a:Int32}", {"param_a": "x"}, 400, "457"),
        (b"SELECT 1", {"decompress": "1"}, 501, "48"),
        (b"SELECT 1", {"session_id": "never_seen", "session_check": "1"}, 500, "372"),
    ],
)
def test_refusals_have_status_code_and_reason(
    http_client, statement, parameters, status, code
) -> None:
    response, body = ask(http_client, statement, **parameters)

    assert (response.status, response.getheader("X-ClickHouse-Exception-Code")) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ")
    assert ask(http_client, b"SELECT 1")[1] == "1\n"  # the connection goes on


def test_a_session_in_use_is_locked(clickhouse, http_client) -> None:
    other = http.client.HTTPConnection("127.0.0.1", clickhouse.port, timeout=30)
    statement = b"SELECT sleep(1)"
    slow = threading.Thread(target=ask, args=(other, statement), kwargs={"session_id": "locked"})
    slow.start()
    running = b"SELECT count() > 1 FROM system.processes WHERE query LIKE '%sleep(1)%'"
    while slow.is_alive() and ask(http_client, running)[1] != "1\n":
        pass

    response, _ = ask(http_client, b"SELECT 1", session_id="locked")

    assert response.getheader("X-ClickHouse-Exception-Code") == "373"
    slow.join()
    other.close()


def test_small_requests_are_answered_at_once(http_client) -> None:
    """40 ms each would be Nagle's algorithm waiting for a delayed acknowledgement."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        ask(http_client, b"SELECT 1")
        times.append(time.perf_counter() - began)

    assert sorted(times)[len(times) // 2] < 0.03
