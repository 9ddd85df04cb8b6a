"""Windows, rollups, lateness and emission that fit each other."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.resolve import Resolved
from pipelinekit.units import format_duration
from pipelinekit.windows.nesting import why_not_nested
from pipelinekit.windows.session import Session
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

_KINDS = ("sliding", "session", "cumulative")
_EMIT_MIN_MS = 50
_EARLY_DEFAULT_MS = 200


class RollupsNest:
    """A rollup's windows are made of whole windows of the metric's own; they go up in length."""

    code = "PK302"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            place = at(self.code, metric)
            own = metric.grains[0]
            if not isinstance(own, Tumbling | CalendarTumbling):
                continue  # that is PK351
            for number, coarse in enumerate(metric.grains[1:]):
                before = metric.grains[number]
                why = why_not_nested(own, coarse)
                if why is None and coarse.approximate_ms <= before.approximate_ms:
                    why = f"it is not longer than {before.suffix}"
                if why is None or coarse.suffix == before.suffix:  # that is PK111
                    continue
                yield place.error(
                    f"a rollup of {coarse.suffix} does not follow from {own.suffix} windows: {why}",
                    ("rollups", number, "size"),
                    "order rollups from fine to coarse, each of whole windows",
                )


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
            for name in ("early", "late"):
                if (every := getattr(emit, name)) < _EMIT_MIN_MS:
                    yield place.error(
                        f"emit.{name} is {format_duration(every)}; 50ms is the least",
                        ("emit", name),
                        "take 200ms: rows leave changed keys only",
                    )
            if emit.early > window_ms and emit.early != _EARLY_DEFAULT_MS:
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


class WindowsFitTheMetric:
    """A session needs a key; rollups are sums of tumbling windows."""

    code = "PK351"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            window, place = metric.grains[0], at(self.code, metric)
            is_tumbling = isinstance(window, Tumbling | CalendarTumbling)
            if metric.spec.rollups and not is_tumbling:
                kind = next(k for k in _KINDS if getattr(metric.spec.window, k) is not None)
                yield place.error(
                    f"rollups are sums of tumbling windows, and this one is {kind}",
                    ("rollups",),
                    "give the coarser grain a metric of its own",
                    key=True,
                )
            if isinstance(window, Session) and not metric.key:
                yield place.error(
                    "a session is of a key, and the metric has none",
                    ("window", "session"),
                    "add key: with what sessions are of, such as session_id or user_id",
                    key=True,
                )


class OptionsHaveAnEffect:
    """A session's row leaves once, so it has no early rows."""

    code = "PK361"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            is_set = metric.spec.emit is not None and "emit" not in metric.loaded.defaulted
            if is_set and isinstance(metric.grains[0], Session):
                yield at(self.code, metric).warning(
                    "a session's row leaves once, at the end: emit has no effect",
                    ("emit",),
                    "leave it out",
                    key=True,
                )
