"""The statements that lead from the tables of one set of plans to those of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelinekit.data import SinkSchema
from pipelinekit.errors import Refused
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import sink_schemas


@dataclass(frozen=True, slots=True)
class Statements:
    """What `ddl` would run in a sink that holds what the old plans want; or why it can't."""

    sink: str
    statements: tuple[str, ...]
    refused: str | None = None


def statements(old: Sequence[Plan], new: Sequence[Plan]) -> tuple[Statements, ...]:
    """For each ClickHouse sink of the new plans; sinks where nothing differs are left out.

    Nothing is asked: a database is taken to hold what the old plans want, no more.
    """
    from pipelinekit.connectors.clickhouse.ddl import as_stored, difference

    before, after = _schemas(old), _schemas(new)
    found = []
    for sink in {s.name: s for plan in new for s in plan.sinks}.values():
        if sink.type != "clickhouse":
            continue
        database = str(sink.settings["database"])
        earlier = before.get((sink.name, database))
        stored = {} if earlier is None else as_stored(database, earlier)
        try:
            lines = difference(
                database, after[sink.name, database], stored, has_database=bool(stored)
            )
        except Refused as error:
            found.append(Statements(sink.name, (), error.message))
            continue
        if lines:
            found.append(Statements(sink.name, tuple(lines)))
    return tuple(found)


def _schemas(plans: Sequence[Plan]) -> dict[tuple[str, str], SinkSchema]:
    """By sink and database all tables of all jobs."""
    schemas: dict[tuple[str, str], SinkSchema] = {}
    for plan in plans:
        places = {s.name: str(s.settings.get("database", "")) for s in plan.sinks}
        for name, schema in sink_schemas(plan).items():
            known = schemas.setdefault((name, places[name]), replace(schema, tables=(), views=()))
            whole = replace(
                known,
                tables=(*known.tables, *schema.tables),
                views=(*known.views, *schema.views),
            )
            schemas[name, places[name]] = whole
    return schemas
