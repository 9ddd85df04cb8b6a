from __future__ import annotations

import pytest

from pipelinekit.devstack.clickhouse.statement import changes_session, split_insert


@pytest.mark.parametrize(
    ("statement", "target", "settings", "name", "data"),
    [
        (b"INSERT INTO t FORMAT TSV\n1\n", "INSERT INTO t", "", "TSV", b"1\n"),
        (
            b"insert into d.t (a, b) format Native \r\n\x00",
            "insert into d.t (a, b)",
            "",
            "Native",
            b"\x00",
        ),
        (b"INSERT INTO t FORMAT JSONEachRow {}", "INSERT INTO t", "", "JSONEachRow", b"{}"),
        (b"INSERT INTO t FORMAT TSV;", "INSERT INTO t", "", "TSV", b""),
        (b"INSERT INTO t FORMAT TSV", "INSERT INTO t", "", "TSV", b""),
        (
            b"INSERT INTO t SETTINGS async_insert=0, x='FORMAT' FORMAT TSV\n\nFORMAT CSV",
            "INSERT INTO t",
            "SETTINGS async_insert=0, x='FORMAT' ",
            "TSV",
            b"\nFORMAT CSV",
        ),
        (
            b"INSERT INTO `values` (`format`) FORMAT CSV\n1",
            "INSERT INTO `values` (`format`)",
            "",
            "CSV",
            b"1",
        ),
        (
            b"/* FORMAT X */ INSERT INTO t FORMAT CSV\n1",
            "/* FORMAT X */ INSERT INTO t",
            "",
            "CSV",
            b"1",
        ),
    ],
)
def test_data_starts_behind_the_format(statement, target, settings, name, data) -> None:
    insert = split_insert(statement)

    assert insert is not None
    assert (insert.target, insert.settings, insert.format) == (target, settings, name)
    assert bytes(insert.data) == data


@pytest.mark.parametrize(
    "statement",
    [
        b"",
        b"SELECT 1 FORMAT TSV\n",
        b"INSERT INTO t VALUES (1)",
        b"INSERT INTO t SELECT 1 FORMAT TSV",
        b"INSERT INTO t FROM INFILE 'x' FORMAT TSV",
        b"INSERT INTO t FORMAT",
        b"(((",
        b"'never closed",
    ],
)
def test_other_statements_are_text(statement) -> None:
    assert split_insert(statement) is None


def test_words_in_the_data_are_not_looked_at() -> None:
    data = b"'" * 5_000_000

    insert = split_insert(b"INSERT INTO t FORMAT RawBLOB\n" + data)

    assert insert is not None
    assert len(insert.data) == len(data)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (b"SET max_threads = 1", True),
        (b" use d", True),
        (b"CREATE TEMPORARY TABLE t (n Int8)", True),
        (b"CREATE OR REPLACE TEMPORARY TABLE t (n Int8)", True),
        (b"SELECT 1", False),
        (b"CREATE TABLE t (n Int8)", False),
        (b"", False),
    ],
)
def test_statements_that_change_the_session(statement, expected) -> None:
    assert changes_session(statement) is expected
