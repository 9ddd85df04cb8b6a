from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.data import SinkSchema
from pipelinekit.devstack.clickhouse import running_clickhouse
from pipelinekit.errors import Unreachable, UsageError
from tests.connectors.clickhouse.proxy import Proxy, proxy_to
from tests.connectors.tables import table, upserts

MakeSink = Callable[..., ClickHouseSink]
DOWN = "http://127.0.0.1:1"  # no one may listen there


def test_server_down_at_start_is_told_at_once_by_check() -> None:
    sink = ClickHouseSink(DOWN, "analytics", password="hush")
    with pytest.raises(Unreachable) as unreachable:
        sink.check()
    assert unreachable.value.message == (
        f"ClickHouse at {DOWN} did not take the first question, tried once in 0.0 s; "
        "last answer: connection refused"
    )
    assert "pipelinekit up clickhouse" in (unreachable.value.help or "")


def test_server_down_is_tried_again_for_a_bounded_time() -> None:
    sink = ClickHouseSink(DOWN, "analytics", retry_s=0.5)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"tried \d+ times in 0\.\d s") as unreachable:
        sink.ddl(SinkSchema("job", (table(),)))
    assert time.monotonic() - began < 1
    assert "tried 1 " not in unreachable.value.message


def test_shutdown_ends_the_waiting() -> None:
    stop = threading.Event()
    sink = ClickHouseSink(DOWN, "analytics", retry_s=60, stop=stop)
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        sink.write(upserts(table(), {}))
    assert time.monotonic() - began < 5


def test_server_that_never_answers_is_left_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = ClickHouseSink(
            f"http://127.0.0.1:{silent.getsockname()[1]}", "d", timeout_s=0.2, retry_s=0
        )
        with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
            sink.check()
        sink.close()


@pytest.mark.parametrize("url", ["127.0.0.1:8123", "tcp://127.0.0.1:9000", "http://", ""])
def test_address_of_another_form_is_a_wrong_use(url: str) -> None:
    with pytest.raises(UsageError) as wrong:
        ClickHouseSink(url, "analytics")
    assert "http://host:8123" in (wrong.value.help or "")


def test_password_is_in_no_message() -> None:
    sink = ClickHouseSink("http://someone:hush@127.0.0.1:1", "d", password="hush", retry_s=0)
    with pytest.raises(Unreachable) as unreachable:
        sink.check()
    assert "hush" not in unreachable.value.message


@pytest.mark.clickhouse
def test_writes_survive_a_server_that_goes_away_and_comes_back(
    make_sink: MakeSink, clickhouse: Any
) -> None:
    pages = table()
    reader = make_sink(pages)
    with proxy_to(clickhouse.url) as proxy:
        sink = make_sink(url=proxy.url)
        faults = threading.Thread(target=_trouble, args=(proxy,))
        faults.start()
        written = 0
        while faults.is_alive():
            written += 1
            sink.write(upserts(pages, {"country": f"c{written}", "views": written}))
        faults.join()
    rows = reader.read_back("pages").select(["country", "views"]).to_pylist()
    assert sorted(r["views"] for r in rows) == list(range(1, written + 1))
    assert {r["country"] for r in rows} == {f"c{n}" for n in range(1, written + 1)}


def _trouble(proxy: Proxy) -> None:
    for _ in range(5):
        time.sleep(0.05)
        proxy.down()
        time.sleep(0.1)
        proxy.up()


@pytest.mark.clickhouse
def test_answer_that_is_lost_is_asked_again_and_the_row_is_one(
    make_sink: MakeSink, clickhouse: Any
) -> None:
    pages = table()
    reader = make_sink(pages)
    with proxy_to(clickhouse.url) as proxy:
        sink = make_sink(url=proxy.url)
        proxy.lose_answers(3)
        sink.write(upserts(pages, {"views": 5}))
        assert proxy.requests == 4
    assert reader.read_back("pages_1m")["views"].to_pylist() == [5]


@pytest.mark.clickhouse
def test_kept_connection_that_was_closed_is_not_a_failure(
    make_sink: MakeSink, clickhouse: Any
) -> None:
    pages = table()
    make_sink(pages)
    with proxy_to(clickhouse.url) as proxy:
        sink = make_sink(url=proxy.url, retry_s=0)
        sink.write(upserts(pages, {}))
        proxy.down()
        proxy.up()
        sink.write(upserts(pages, {}))


@pytest.mark.clickhouse
def test_writes_survive_a_server_that_is_killed_and_started_again(tmp_path: Path) -> None:
    pages = table()
    with running_clickhouse(tmp_path) as server:
        sink = ClickHouseSink(server.url, "analytics")
        sink.apply(sink.ddl(SinkSchema("job", (pages,))))
        back = threading.Event()

        def crash() -> None:
            server.kill()
            server.start(progress=lambda line: None)
            back.set()

        written = 0
        faults = threading.Timer(0.2, crash)
        faults.start()
        while not back.is_set():
            written += 1
            sink.write(upserts(pages, {"country": f"c{written}", "views": written}))
        faults.join()
        found = sink.read_back("pages")["views"].to_pylist()
        sink.close()
    assert sorted(found) == list(range(1, written + 1))


@pytest.mark.clickhouse
def test_write_waits_for_a_server_that_stands_still(tmp_path: Path) -> None:
    pages = table()
    with running_clickhouse(tmp_path) as server:
        sink = ClickHouseSink(server.url, "analytics", timeout_s=0.5)
        sink.apply(sink.ddl(SinkSchema("job", (pages,))))
        server.pause()
        resuming = threading.Timer(0.8, server.resume)
        resuming.start()
        sink.write(upserts(pages, {"views": 5}))
        resuming.join()
        found = sink.read_back("pages_1m")["views"].to_pylist()
        sink.close()
    assert found == [5]
