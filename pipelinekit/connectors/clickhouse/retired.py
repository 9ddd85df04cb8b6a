"""What a database holds of metrics, versions and grains that are no more, to be dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelinekit.connectors.clickhouse import views
from pipelinekit.connectors.clickhouse.ddl import difference
from pipelinekit.connectors.clickhouse.sql import identifier
from pipelinekit.connectors.clickhouse.stored import StoredTable
from pipelinekit.data import SinkSchema
from pipelinekit.errors import Refused


def drop_retired(
    database: str, schemas: Sequence[SinkSchema], stored: Mapping[str, StoredTable]
) -> list[str]:
    """Statements that drop the tables and views that we made and that no schema has, views first.

    Before them the views of all metrics are made anew without those tables: they stay readable.
    What doesn't carry our comment is never among them. Raises Refused while the database lacks
    something of a schema: a view may still read what the schema has left.
    """
    if any(difference(database, schema, stored, has_database=True) for schema in schemas):
        raise Refused(
            f'database "{database}" is not yet as the specs want it: what they have left may be '
            "in use",
            help="bring it there first, with `pipelinekit ddl --apply`",
        )
    wanted = {*views.AGGREGATES.values(), views.PROGRESS, views.LEDGER}
    for schema in schemas:
        wanted |= {name for table in schema.tables for name in (table.name, table.view)}
        wanted |= {view.name for view in schema.views}
    retired = [t for t in stored.values() if views.is_ours(t) and t.name not in wanted]
    kept = {name: table for name, table in stored.items() if table not in retired}
    statements = []
    for grain, name in views.AGGREGATES.items():
        left = views.stored_numbers(grain, kept)
        if name in stored and left.keys() != views.stored_numbers(grain, stored).keys():
            view = views.aggregates(database, grain, left.values())
            statements.append(views.create_statement(database, view))
    retired.sort(key=lambda t: (t.engine != "View", t.name))
    for table in retired:
        kind = "VIEW" if table.engine == "View" else "TABLE"
        name = f"{identifier(database)}.{identifier(table.name)}"
        statements.append(f"DROP {kind} IF EXISTS {name}")
    return statements
