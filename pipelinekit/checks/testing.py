"""What tests there are, and that they can be run."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import dotted
from pipelinekit.spec.models import Step
from pipelinekit.spec.project import LoadedTest
from pipelinekit.spec.resolve import Resolved


class MetricsHaveTests:
    """A lateness rule that no test shows is a guess."""

    code = "PK600"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for name, metric in resolved.metrics.items():
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
                yield from self._steps(test)

    def _steps(self, test: LoadedTest) -> Iterable[Diagnostic]:
        for number, step in enumerate(test.spec.steps):
            given = [name for name in Step.model_fields if getattr(step, name) is not None]
            if len(given) != 1:
                path = (*test.path, "steps", number)
                said = " and ".join(given) or "nothing"
                yield Diagnostic(
                    self.code,
                    f"a step is one thing, and this says {said}",
                    test.document.span(path),
                    "make one step of each",
                    dotted(path),
                )


class EventsAreOfTheSource:
    """Events of tests carry the event time, and only fields that the source has."""

    code = "PK603"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for name, tests in resolved.project.tests.items():
            metric = resolved.metrics.get(name)
            if metric is None:
                continue
            fields = metric.source.spec.fields
            time = metric.source.spec.event_time.field
            for test in tests:
                for number, step in enumerate(test.spec.steps):
                    for place, event in enumerate(step.events or ()):
                        path = (*test.path, "steps", number, "events", place)
                        unknown = event.keys() - fields.keys() - {"partition", "broker_time"}
                        for key in sorted(unknown):
                            yield Diagnostic(
                                self.code,
                                f'the source has no field "{key}"',
                                test.document.span((*path, key), key=True),
                                f"the fields are {', '.join(fields)}",
                                dotted((*path, key)),
                            )
                        if time not in event:
                            yield Diagnostic(
                                self.code,
                                f"the event has no {time}",
                                test.document.span(path),
                                "every event needs its time",
                                dotted(path),
                            )
