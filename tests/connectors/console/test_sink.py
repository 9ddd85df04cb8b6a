from __future__ import annotations

import io
import json
from decimal import Decimal

import pytest

from pipelinekit.connectors.console.sink import ConsoleSink
from pipelinekit.data import Column, Progress
from pipelinekit.errors import Refused
from pipelinekit.types import INT, STRING, counted_type, list_type
from tests.connectors.tables import NOON_MS, table, upserts

PAGES = table()


def test_rows_are_printed_in_aligned_columns() -> None:
    out = io.StringIO()
    sink = ConsoleSink(stream=out)
    sink.write(
        upserts(
            PAGES,
            {"country": "BE", "views": 12, "revenue": Decimal("3.5")},
            {"country": None, "views": 3, "window_start": NOON_MS + 1, "_late": 1},
            {"country": "a\nb"},
        )
    )
    assert out.getvalue().splitlines() == [
        "pages_1m  window_start             country  views  revenue  events  late",
        "pages_1m  2024-01-01 12:00:00      BE          12   3.5000       1     0",
        "pages_1m  2024-01-01 12:00:00.001  null         3     null       1     1",
        'pages_1m  2024-01-01 12:00:00      "a\\nb"       1     null       1     0',
    ]


def test_lists_of_counts_are_printed_in_one_cell() -> None:
    top = Column("top", list_type(counted_type(STRING)), nullable=True)
    bins = Column("bins", list_type(INT))
    lists = table(measures=[bins, top])
    rows = upserts(lists, {"bins": [1, 0], "top": [{"value": "a", "count": 2}]}, {"bins": []})
    text, lines = io.StringIO(), io.StringIO()
    ConsoleSink(stream=text).write(rows)
    ConsoleSink(stream=lines, format="json").write(rows)
    assert [" ".join(line.split()) for line in text.getvalue().splitlines()[1:]] == [
        "pages_1m 2024-01-01 12:00:00 BE [1, 0] [{value: a, count: 2}] 1 0",
        "pages_1m 2024-01-01 12:00:00 BE [] null 1 0",
    ]
    first = json.loads(lines.getvalue().splitlines()[0])
    assert (first["bins"], first["top"]) == ([1, 0], [{"value": "a", "count": 2}])


def test_json_lines_hold_every_column_exactly() -> None:
    out = io.StringIO()
    ConsoleSink(format="json", stream=out).write(
        upserts(PAGES, {"revenue": Decimal("0.1"), "country": "é"}, {"country": None})
    )
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert list(first) == ["table", *(c.name for c in PAGES.columns)]
    assert first["table"] == "pages_1m"
    assert first["window_start"] == "2024-01-01T12:00:00.000Z"
    assert first["revenue"] == "0.1000"
    assert second["country"] is None


def test_closed_windows_are_told_as_text_only() -> None:
    progress = [Progress("pages", "1m", NOON_MS, 1)]
    text, lines = io.StringIO(), io.StringIO()
    ConsoleSink(stream=text).write_progress(progress)
    ConsoleSink(stream=lines, format="json").write_progress(progress)
    assert text.getvalue() == "pages 1m closed through 2024-01-01 12:00:00\n"
    assert lines.getvalue() == ""


def test_rows_go_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleSink(format="json").write(upserts(PAGES, {}))
    assert json.loads(capsys.readouterr().out)["views"] == 1


def test_empty_batch_prints_nothing() -> None:
    out = io.StringIO()
    ConsoleSink(stream=out).write(upserts(PAGES))
    assert out.getvalue() == ""


def test_read_back_is_refused_with_what_can_be_read() -> None:
    with pytest.raises(Refused) as refused:
        ConsoleSink().read_back("pages")
    assert "memory or clickhouse" in (refused.value.help or "")
