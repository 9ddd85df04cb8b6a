"""The ClickHouse sink: upserts into ReplacingMergeTree tables, newest version read back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.columns import arrow_type
from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.clickhouse import ddl
from pipelinekit.connectors.clickhouse.client import ClickHouseClient
from pipelinekit.connectors.clickhouse.failure import Failure, retried
from pipelinekit.connectors.clickhouse.retired import drop_retired
from pipelinekit.connectors.clickhouse.rows import from_stream, per_insert, to_stream
from pipelinekit.connectors.clickhouse.sql import identifier, literal
from pipelinekit.connectors.clickhouse.stored import database_exists, stored_tables
from pipelinekit.data import EPOCH_SHIFT, LedgerEntry, Progress, SinkSchema, Table, Upserts
from pipelinekit.errors import Refused, Unreachable

if TYPE_CHECKING:
    import pyarrow as pa

START_HELP = "start it with `pipelinekit up clickhouse`, or set CLICKHOUSE to one that runs"
DDL_HELP = "see what differs with `pipelinekit ddl`, make it so with `pipelinekit ddl --apply`"
# One insert is one acknowledged part, and a null where none may be is refused, not made a zero.
INSERT_SETTINGS = "async_insert = 0, input_format_null_as_default = 0"

_UNKNOWN_DATABASE = 81
_SHAPE_CODES = frozenset({10, 16, 20, 36, 44, 47, 53, 60, _UNKNOWN_DATABASE, 349})
_LOGIN_CODES = frozenset({192, 193, 194, 516})
_PERMISSION_CODES = frozenset({164, 497})
_STATEMENT_MAX = 200


class ClickHouseSink:
    """A database of a ClickHouse server. `retry_s` bounds the retries of one call.

    Thread-safe. Setting `stop` ends waiting between retries: a shutdown need not sit them out.
    """

    def __init__(
        self,
        url: str,
        database: str,
        *,
        user: str = "default",
        password: str = "",
        budget: Budget | None = None,
        retry_s: float = 30.0,
        timeout_s: float = 30.0,
        stop: threading.Event | None = None,
    ) -> None:
        self.budget = budget or Budget()
        self._client = ClickHouseClient(url, user, password, timeout_s=timeout_s)
        self._database = database
        self._user = user
        self._retry_s = retry_s
        self._stop = stop or threading.Event()

    @property
    def address(self) -> str:
        return self._client.address

    def check(self) -> str:
        """What answers there, asked once. Raises Unreachable or Refused."""
        statement = "SELECT version()"
        version = self._run("the first question", statement, retry_s=0).decode().strip()
        return f'ClickHouse {version} at {self.address}, database "{self._database}"'

    def ddl(self, schema: SinkSchema) -> list[str]:
        """Statements that bring the database to `schema`; empty when nothing differs.

        Raises Refused when a table there has another shape.
        """

        def query(statement: str) -> bytes:
            return self._run("a look at the system tables", statement)

        exists = database_exists(query, self._database)
        stored = stored_tables(query, self._database) if exists else {}
        return ddl.difference(self._database, schema, stored, has_database=exists)

    def retired(self, schemas: Sequence[SinkSchema]) -> list[str]:
        """Statements that drop what we made in the database and none of the schemas has."""

        def query(statement: str) -> bytes:
            return self._run("a look at the system tables", statement)

        return drop_retired(self._database, schemas, stored_tables(query, self._database))

    def apply(self, statements: Sequence[str]) -> None:
        for statement in statements:
            self._run("a statement of the schema", statement)

    def write(self, upserts: Upserts) -> None:
        """Insert the rows; returns when the server acknowledged them all. One insert as a rule."""
        if len(upserts):
            for rows in per_insert(upserts):
                self._insert(upserts.table.name, rows)

    def write_progress(self, progress: Sequence[Progress]) -> None:
        if progress:
            values = [(p.metric, p.grain, p.closed_through_ms, p.updated_at_ms) for p in progress]
            self._insert(ddl.PROGRESS.name, _rows(ddl.PROGRESS, values))

    def write_ledger(self, entries: Sequence[LedgerEntry]) -> None:
        if entries:
            values = [
                (
                    e.job,
                    e.source,
                    e.metric,
                    e.partition,
                    e.outcome.value,
                    e.offset,
                    e.count,
                    e.version,
                )
                for e in entries
            ]
            self._insert(ddl.LEDGER.name, _rows(ddl.LEDGER, values))

    def epoch(self, tables: Sequence[Table]) -> int:
        """The greatest epoch among the rows of these tables, 0 without any."""
        names = ", ".join(literal(t.name) for t in tables)
        if not names:
            return 0
        there = self.query(
            f"SELECT name FROM system.tables WHERE database = {literal(self._database)} "
            f"AND name IN ({names})"
        )["name"].to_pylist()
        selects = [f"SELECT max(_version) AS v FROM {self._qualified(n)}" for n in sorted(there)]
        if not selects:
            return 0
        newest = self.query(f"SELECT max(v) AS v FROM ({' UNION ALL '.join(selects)})")
        return int(newest["v"][0].as_py() or 0) >> EPOCH_SHIFT

    def read_back(self, table: str) -> pa.Table:
        """The newest version of each row of a table or view."""
        engine = self._run(
            f'a read of "{table}"',
            f"SELECT engine FROM system.tables WHERE database = {literal(self._database)} "
            f"AND name = {literal(table)}",
        )
        # A view holds its own FINAL; a missing table is refused by the read itself.
        final = " FINAL" if b"ReplacingMergeTree" in engine else ""
        return self.query(f"SELECT * FROM {self._qualified(table)}{final}")

    def query(self, select: str) -> pa.Table:
        """The answer to a SELECT without FORMAT, in the types of types.py."""
        return from_stream(self._run("a read", f"{select} FORMAT ArrowStream"))

    def close(self) -> None:
        self._client.close()

    def _qualified(self, table: str) -> str:
        return f"{identifier(self._database)}.{identifier(table)}"

    def _insert(self, table: str, rows: pa.Table) -> None:
        columns = ", ".join(map(identifier, rows.column_names))
        statement = (
            f"INSERT INTO {self._qualified(table)} ({columns}) "
            f"SETTINGS {INSERT_SETTINGS} FORMAT ArrowStream"
        )
        what = f'an insert of {rows.num_rows} rows into "{self._database}.{table}"'
        self._run(what, statement, to_stream(rows), table=table)

    def _run(
        self,
        what: str,
        statement: str,
        data: bytes | None = None,
        *,
        table: str = "",
        retry_s: float | None = None,
    ) -> bytes:
        budget_s = self._retry_s if retry_s is None else retry_s
        try:
            return retried(
                lambda: self._client.execute(statement, data), budget_s=budget_s, stop=self._stop
            )
        except Failure as failure:
            raise self._explained(failure, what, statement, table) from failure

    def _explained(
        self, failure: Failure, what: str, statement: str, table: str
    ) -> Unreachable | Refused:
        where = f"ClickHouse at {self.address}"
        if failure.is_transient:
            times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
            return Unreachable(
                f"{where} did not take {what}, tried {times} in {failure.elapsed_s:.1f} s; "
                f"last answer: {failure.text}",
                help=START_HELP if failure.code is None else None,
            )
        message = f"{where} refused {what}: {failure.text}"
        if failure.code in _LOGIN_CODES:
            return Refused(message, help="correct `user` and the secret of `password` in the sink")
        if failure.code in _PERMISSION_CODES:
            return Refused(message, help=f'grant what it names to user "{self._user}"')
        short = " ".join(statement.split())
        if len(short) > _STATEMENT_MAX:
            short = f"{short[:_STATEMENT_MAX]}…"
        message += f"; the statement: {short}"
        if table:
            message += f"; {self._holds(table)}"
        return Refused(message, help=DDL_HELP if table or failure.code in _SHAPE_CODES else None)

    def _holds(self, table: str) -> str:
        """What the store has under that name, as the end of an error's message."""
        statement = (
            f"SELECT name || ' ' || type FROM system.columns "
            f"WHERE database = {literal(self._database)} AND table = {literal(table)} "
            "ORDER BY position FORMAT TSVRaw"
        )
        try:
            columns = self._client.execute(statement).decode().splitlines()
        except Failure as failure:
            return f"what is there could not be read: {failure.text}"
        if not columns:
            return f'there is no table "{table}" in database "{self._database}"'
        return f"the table there has ({', '.join(columns)})"


def _rows(spec: ddl.TableSpec, values: Sequence[tuple[object, ...]]) -> pa.Table:
    import pyarrow as pa

    columns = zip(*values, strict=True)
    arrays = [
        pa.array(column, arrow_type(c.type))
        for c, column in zip(spec.columns, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=[c.name for c in spec.columns])
