"""Rules across fields and specs, each one concern; RULES is the only list of them."""

from __future__ import annotations

from pipelinekit.checks.base import Rule
from pipelinekit.checks.names import ColumnsDiffer, GrainsDiffer, SomethingIsShown
from pipelinekit.checks.sources import (
    DeadLettersHaveATopic,
    EventTimeIsATimestamp,
    FieldsAreReadable,
    IdIsAField,
    TopicsAreNames,
)
from pipelinekit.checks.testing import EventsAreOfTheSource, MetricsHaveTests, StepsSayOneThing
from pipelinekit.checks.windows import (
    EmitFits,
    EmitMeetsSlo,
    LatenessCoversDisorder,
    RollupsNest,
)
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.resolve import Resolved

RULES: tuple[Rule, ...] = (
    EventTimeIsATimestamp(),
    IdIsAField(),
    FieldsAreReadable(),
    TopicsAreNames(),
    DeadLettersHaveATopic(),
    ColumnsDiffer(),
    GrainsDiffer(),
    SomethingIsShown(),
    RollupsNest(),
    EmitFits(),
    EmitMeetsSlo(),
    LatenessCoversDisorder(),
    MetricsHaveTests(),
    StepsSayOneThing(),
    EventsAreOfTheSource(),
)


def run(resolved: Resolved) -> list[Diagnostic]:
    """What all rules find."""
    return [finding for rule in RULES for finding in rule.check(resolved)]
