"""Windows, rollups, lateness and emission that fit each other."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.resolve import Resolved
from pipelinekit.units import HOUR_MS, format_duration
from pipelinekit.windows.base import Window
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

_EARLY_MIN_MS = 50
_EARLY_DEFAULT_MS = 200


class RollupsNest:
    """A rollup's windows are made of whole windows of the grain before it."""

    code = "PK302"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            place = at(self.code, metric)
            for number, coarse in enumerate(metric.grains[1:]):
                fine = metric.grains[number]
                if why := _why_not_nested(fine, coarse):
                    yield place.error(
                        f"a rollup of {coarse.suffix} is not made of whole {fine.suffix} windows: "
                        f"{why}",
                        ("rollups", number, "size"),
                        "order rollups from fine to coarse, each a multiple of the one before",
                    )


def _why_not_nested(fine: Window, coarse: Window) -> str | None:
    if coarse.approximate_ms <= fine.approximate_ms:
        return "it is not longer"
    if isinstance(fine, CalendarTumbling) and isinstance(coarse, CalendarTumbling):
        if fine.unit == "1w":
            return "weeks cross months"
        return None if fine.timezone == coarse.timezone else "their time zones differ"
    if isinstance(fine, Tumbling) and isinstance(coarse, Tumbling):
        return "its length is no multiple" if coarse.size_ms % fine.size_ms else None
    if isinstance(fine, Tumbling) and isinstance(coarse, CalendarTumbling):
        # Zones lie whole quarters of an hour from UTC, most of them whole hours.
        if coarse.timezone != "UTC" and (15 * 60 * 1000) % fine.size_ms and fine.size_ms != HOUR_MS:
            return f"days of {coarse.timezone} need not start on a window's edge"
        if fine.size_ms == HOUR_MS and _has_half_hours(coarse):
            return f"{coarse.timezone} does not lie whole hours from UTC"
        return None
    return "a calendar window can't be cut"


def _has_half_hours(window: CalendarTumbling) -> bool:
    starts = [window.start(1_704_110_400_000 + month * 30 * 24 * HOUR_MS) for month in range(12)]
    return any(start % HOUR_MS for start in starts)


class EmitFits:
    """Early rows leave at least once a window, and not more often than is of use."""

    code = "PK304"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            emit = metric.spec.emit
            if emit is None:
                continue
            place = at(self.code, metric)
            window_ms = metric.grains[0].approximate_ms
            if emit.early < _EARLY_MIN_MS:
                yield place.error(
                    f"emit.early is {format_duration(emit.early)}; 50ms is the least",
                    ("emit", "early"),
                )
            elif emit.early > window_ms and emit.early != _EARLY_DEFAULT_MS:
                yield place.error(
                    f"emit.early is {format_duration(emit.early)}, longer than the window",
                    ("emit", "early"),
                    f"take at most {format_duration(window_ms)}",
                )


class EmitMeetsSlo:
    """Rows that leave less often than the objective allows can't meet it."""

    code = "PK305"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            slo, emit = metric.spec.slo, metric.spec.emit
            early = emit.early if emit is not None else _EARLY_DEFAULT_MS
            if slo is None or slo.latency_p99 is None or early < slo.latency_p99:
                continue
            yield at(self.code, metric).warning(
                f"rows leave every {format_duration(early)}, and slo.latency_p99 is "
                f"{format_duration(slo.latency_p99)}",
                ("slo", "latency_p99"),
                "lower emit.early, or raise the objective",
            )


class LatenessCoversDisorder:
    """Without lateness beyond the disorder of the source, nothing can be corrected."""

    code = "PK306"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            allowed = metric.spec.lateness.allowed
            bound = metric.source.spec.event_time.out_of_orderness
            if 0 < allowed < bound:
                yield at(self.code, metric).warning(
                    f"lateness.allowed is {format_duration(allowed)}, less than the disorder that "
                    f"the source declares ({format_duration(bound)})",
                    ("lateness", "allowed"),
                    "raise it, or set 0s if no corrections are wanted",
                )
