"""Names that would stand for two things."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.models import COLUMN_NAMES
from pipelinekit.spec.resolve import Resolved


class ColumnsDiffer:
    """Each column of a table has one meaning."""

    code = "PK109"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            place = at(self.code, metric)
            seen: set[str] = set()
            for number, key in enumerate(metric.key):
                if key.name in COLUMN_NAMES or key.name in seen:
                    yield place.error(
                        f'the key "{key.name}" is a column of the table already',
                        ("key", number),
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
        for metric in resolved.metrics.values():
            if metric.measures and all(m.spec.hidden for m in metric.measures):
                yield at(self.code, metric).error(
                    "all measures are hidden: the table would have none",
                    ("measures",),
                    "show at least one",
                    key=True,
                )
