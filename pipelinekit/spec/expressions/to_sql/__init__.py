"""Typed expression → SQL of a store, with the language's own meaning.

`to_clickhouse` and `to_bigquery` take the expression and, for each field, the SQL that reads it.
The SQL never fails on data: what has no value is null, as in the stream.
"""

from __future__ import annotations

from pipelinekit.spec.expressions.to_sql.bigquery import to_bigquery
from pipelinekit.spec.expressions.to_sql.clickhouse import to_clickhouse

__all__ = ["to_bigquery", "to_clickhouse"]
