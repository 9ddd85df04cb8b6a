"""What stores still hold of metrics that a project has no more."""

from __future__ import annotations

from collections.abc import Sequence

from pipelinekit.data import SinkSchema
from pipelinekit.plan.model import Plan, SinkPlan
from pipelinekit.plan.tables import sink_schemas
from pipelinekit.runtime.outside import make_sink


def drop_retired(plans: Sequence[Plan], sinks: Sequence[SinkPlan]) -> dict[str, list[str]]:
    """By sink the statements that drop what no plan has; plans and sinks are a whole project's.

    Sinks that name one database are one, under the name of the first. Raises Unreachable or
    Refused, UsageError for a secret that isn't set.
    """
    from pipelinekit.connectors.clickhouse.sink import ClickHouseSink

    schemas: dict[str, list[SinkSchema]] = {sink.name: [] for sink in sinks}
    for plan in plans:
        for name, schema in sink_schemas(plan).items():
            schemas[name].append(schema)
    databases: dict[tuple[object, object], list[SinkPlan]] = {}
    for sink in sinks:
        if sink.type == "clickhouse":
            place = (str(sink.settings["url"]).rstrip("/"), sink.settings["database"])
            databases.setdefault(place, []).append(sink)
    found = {}
    for same in databases.values():
        store = make_sink(same[0])
        assert isinstance(store, ClickHouseSink)
        try:
            statements = store.retired([s for sink in same for s in schemas[sink.name]])
        finally:
            store.close()
        if statements:
            found[same[0].name] = statements
    return found
