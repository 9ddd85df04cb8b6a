"""What tests there are, and that they can be run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.reasons import Reason
from pipelinekit.spec.document import Path, dotted
from pipelinekit.spec.expressions.tree import STATE_SUFFIX
from pipelinekit.spec.models.testing import PARTITION_MAX, Contains, Expected, Step
from pipelinekit.spec.project import LoadedTest
from pipelinekit.spec.resolve import Resolved, ResolvedMetric, ResolvedStage
from pipelinekit.windows.cumulative import Cumulative

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,3})?)?", re.ASCII)
_OF_DELIVERY = ("partition", "broker_time")
_MATCHED_BY = ("window", "window_end", "grain")
_OF_ROWS = ("events", "late", "state")
_REASONS = tuple(reason.value for reason in Reason)


class MetricsHaveTests:
    """A lateness rule that no test shows is a guess."""

    code = "PK600"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for name, metric in resolved.all_metrics.items():
            if not resolved.project.tests.get(name):
                yield at(self.code, metric).warning(
                    f"the metric {name} has no test",
                    ("name",),
                    "add tests: with a late event and a dead letter",
                )


class StepsSayOneThing:
    """Each step is one thing that happens."""

    code = "PK602"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for tests in resolved.project.tests.values():
            for test in tests:
                for number, step in enumerate(test.spec.steps):
                    given = [n for n in Step.model_fields if getattr(step, n) is not None]
                    if len(given) != 1:
                        said = " and ".join(given) or "nothing"
                        message = f"a step is one thing, and this says {said}"
                        help = "make one step of each"
                        yield _found(self.code, test, ("steps", number), message, help)


class EventsAreOfTheSource:
    """Events of tests carry the event time, and only fields that the source has."""

    code = "PK603"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric, test in _tests(resolved):
            fields = metric.source.spec.fields
            time = metric.source.spec.event_time.field
            for path, event in _events(test):
                for name in sorted(event.keys() - fields.keys() - set(_OF_DELIVERY)):
                    message = f'the source has no field "{name[:60]}"'
                    help = f"the fields are {', '.join(fields)}"
                    yield _found(self.code, test, (*path, name), message, help, key=True)
                if time not in event:
                    help = f'add {time}: "12:00:05"'
                    yield _found(self.code, test, path, f"the event has no {time}", help)
                partition = event.get("partition", 0)
                if type(partition) is not int or not 0 <= partition <= PARTITION_MAX:
                    message = f"a test's partitions are 0 to {PARTITION_MAX}"
                    yield _found(self.code, test, (*path, "partition"), message, "take another")


class TimesCanBeRead:
    """Times of tests are times of the base day, or RFC 3339."""

    code = "PK604"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric, test in _tests(resolved):
            if not _is_date(test.spec.base):
                help = "write it as 2024-01-31"
                message = f'"{test.spec.base}" is not a day of the calendar'
                yield _found(self.code, test, ("base",), message, help)
            time = metric.source.spec.event_time.field
            for path, value in _times(test, time):
                if not _is_time(value):
                    help = 'write "12:00:05" or "2024-01-31T12:00:05Z"'
                    message = f'"{str(value)[:60]}" is no time'
                    yield _found(self.code, test, path, message, help)


class ExpectationsNameColumns:
    """Expected rows name their window, and columns and grains that the metric has."""

    code = "PK605"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric, test in _tests(resolved):
            grains = [grain.suffix for grain in metric.grains]
            columns = [k.name for k in metric.key]
            columns += [m.name for m in metric.measures if not m.spec.hidden]
            columns += [m.name + STATE_SUFFIX for m in metric.measures if m.spec.state]
            for path, row in _rows(test):
                for name in row.keys() - {*columns, *_MATCHED_BY, *_OF_ROWS}:
                    message = f'a row has no "{name[:60]}"'
                    help = f"it has {', '.join((*columns, *_MATCHED_BY, *_OF_ROWS))}"
                    yield _found(self.code, test, (*path, name), message, help, key=True)
                if "window" not in row:
                    message = "the expected row names no window"
                    yield _found(self.code, test, path, message, 'add window: "12:00", its start')
                if isinstance(metric.grains[0], Cumulative) and "window_end" not in row:
                    message = "the expected row names no window_end: of which tick it is"
                    yield _found(self.code, test, path, message, 'add window_end: "12:01"')
                if row.get("grain", grains[0]) not in grains:
                    message = f'the metric has no grain "{str(row["grain"])[:60]}"'
                    help = f"its grains are {', '.join(grains)}"
                    yield _found(self.code, test, (*path, "grain"), message, help)
            for path, letter in _letters(test):
                if letter.get("reason", _REASONS[0]) not in _REASONS:
                    message = f'"{str(letter["reason"])[:60]}" is no reason of a dead letter'
                    help = f"the reasons are {', '.join(_REASONS)}"
                    yield _found(self.code, test, (*path, "reason"), message, help)


# --- walks over a test --------------------------------------------------------------------------


def _tests(resolved: Resolved) -> Iterator[tuple[ResolvedMetric | ResolvedStage, LoadedTest]]:
    for name, tests in resolved.project.tests.items():
        if name in resolved.all_metrics:
            yield from ((resolved.all_metrics[name], test) for test in tests)


def _events(test: LoadedTest) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for number, step in enumerate(test.spec.steps):
        for place, event in enumerate(step.events or ()):
            yield ("steps", number, "events", place), event


def _times(test: LoadedTest, event_time: str) -> Iterator[tuple[Path, object]]:
    for path, event in _events(test):
        yield from (((*path, n), event[n]) for n in (event_time, "broker_time") if n in event)
    for number, step in enumerate(test.spec.steps):
        for name in ("watermark", "now"):
            if (value := getattr(step, name)) is not None:
                yield ("steps", number, name), value
        for place, raw in enumerate(step.raw or ()):
            if raw.broker_time is not None:
                yield ("steps", number, "raw", place, "broker_time"), raw.broker_time
    for path, row in _rows(test):
        yield from (((*path, n), row[n]) for n in ("window", "window_end") if n in row)


def _rows(test: LoadedTest) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    yield from _expected(("expect",), test.spec.expect)
    for number, step in enumerate(test.spec.steps):
        yield from _expected(("steps", number, "expect"), step.expect)


def _expected(path: Path, expected: Expected | None) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    rows: Sequence[Mapping[str, Any]] = ()
    if isinstance(expected, Contains):
        path, rows = (*path, "contains"), expected.contains
    elif expected is not None:
        rows = expected
    yield from (((*path, place), row) for place, row in enumerate(rows))


def _letters(test: LoadedTest) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for place, letter in enumerate(test.spec.expect_dead_letters or ()):
        yield ("expect_dead_letters", place), letter
    for number, step in enumerate(test.spec.steps):
        for place, letter in enumerate(step.expect_dead_letters or ()):
            yield ("steps", number, "expect_dead_letters", place), letter


def _is_time(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return True  # epoch milliseconds
    if not isinstance(value, str):
        return False
    if _TIME_OF_DAY.fullmatch(value):
        return True
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(value) >= len("2024-01-31")


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _found(
    code: str, test: LoadedTest, path: Path, message: str, help: str, *, key: bool = False
) -> Diagnostic:
    whole = (*test.path, *path)
    return Diagnostic(code, message, test.document.span(whole, key=key), help, dotted(whole))
