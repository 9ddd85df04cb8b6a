"""The real ClickHouse engine on the loopback, behind ClickHouse's HTTP interface."""

from __future__ import annotations

from pipelinekit.devstack.clickhouse.service import ClickHouse, running_clickhouse

__all__ = ["ClickHouse", "running_clickhouse"]
