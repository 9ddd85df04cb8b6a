"""Names that would stand for two things."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.expressions.tree import OTHER
from pipelinekit.spec.models.values import COLUMN_NAMES
from pipelinekit.spec.resolve import Resolved

_OWN_TABLES = ("minly_aggs", "hourly_aggs")
_OWN_PREFIX = "pipelinekit_"


class ColumnsDiffer:
    """Each column of a table has one meaning."""

    code = "PK109"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.all_metrics.values():
            place = at(self.code, metric)
            seen: set[str] = set()
            for number, key in enumerate(metric.key):
                if key.name in COLUMN_NAMES or key.name in seen:
                    yield place.error(
                        f'the key "{key.name}" is a column of the table already',
                        ("key", number, "name"),
                        "give it another name",
                    )
                seen.add(key.name)
            for measure in metric.measures:
                if measure.name in COLUMN_NAMES or measure.name in seen:
                    yield place.error(
                        f'the measure "{measure.name}" is a column of the table already',
                        ("measures", measure.name),
                        "give it another name",
                        key=True,
                    )


class GrainsDiffer:
    """Two grains of one metric would share a table."""

    code = "PK111"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            seen: set[str] = set()
            for number, grain in enumerate(metric.grains):
                if grain.suffix in seen:
                    yield at(self.code, metric).error(
                        f"the grain {grain.suffix} is there twice", ("rollups", number - 1)
                    )
                seen.add(grain.suffix)


class SomethingIsShown:
    """A table without a visible measure says nothing."""

    code = "PK112"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.all_metrics.values():
            if metric.measures and all(m.spec.hidden for m in metric.measures):
                yield at(self.code, metric).error(
                    "all measures are hidden: the table would have none",
                    ("measures",),
                    "show at least one",
                    key=True,
                )


class TablesAreFree:
    """A metric's view has its name: not one of the views and tables that every project has."""

    code = "PK115"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for name, metric in resolved.all_metrics.items():
            if name in _OWN_TABLES or name.startswith(_OWN_PREFIX):
                yield at(self.code, metric).error(
                    f'the name "{name}" is one of pipelinekit\'s own tables',
                    ("name",),
                    "give the metric another name",
                )


class ValuesDiffer:
    """Each value of a key is named once, and none stands for "all others"."""

    code = "PK116"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.all_metrics.values():
            place = at(self.code, metric)
            for number, key in enumerate(metric.key):
                seen: set[str] = set()
                for position, value in enumerate(key.values or ()):
                    path = ("key", number, "values", position)
                    if value == OTHER:
                        yield place.error(
                            f'"{OTHER}" stands for all other values', path, "leave it out"
                        )
                    elif value in seen:
                        yield place.error(
                            f'the value "{value[:60]}" is there twice', path, "keep one"
                        )
                    seen.add(value)
