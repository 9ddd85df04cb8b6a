"""Rules across fields and specs, each one concern; RULES is the only list of them."""

from __future__ import annotations

from pipelinekit.checks.addresses import AddressesCanBe, TopicsAreNames, UrlsHoldNoPassword
from pipelinekit.checks.base import Rule
from pipelinekit.checks.filters import MeasuresAreReached
from pipelinekit.checks.keys import KeysAreBounded
from pipelinekit.checks.names import (
    ColumnsDiffer,
    GrainsDiffer,
    SomethingIsShown,
    TablesAreFree,
    ValuesDiffer,
)
from pipelinekit.checks.sources import (
    DeadLettersHaveATopic,
    EventTimeIsATimestamp,
    FieldsAreReadable,
    IdIsAField,
)
from pipelinekit.checks.testing import (
    EventsAreOfTheSource,
    ExpectationsNameColumns,
    MetricsHaveTests,
    StepsSayOneThing,
    TimesCanBeRead,
)
from pipelinekit.checks.variables import VariablesAreSet
from pipelinekit.checks.windows import (
    EmitFits,
    EmitMeetsSlo,
    LatenessCoversDisorder,
    OptionsHaveAnEffect,
    RollupsNest,
    WindowsFitTheMetric,
)
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.resolve import Resolved

RULES: tuple[Rule, ...] = (
    EventTimeIsATimestamp(),
    IdIsAField(),
    FieldsAreReadable(),
    TopicsAreNames(),
    AddressesCanBe(),
    UrlsHoldNoPassword(),
    VariablesAreSet(),
    DeadLettersHaveATopic(),
    TablesAreFree(),
    ColumnsDiffer(),
    ValuesDiffer(),
    KeysAreBounded(),
    GrainsDiffer(),
    SomethingIsShown(),
    MeasuresAreReached(),
    RollupsNest(),
    WindowsFitTheMetric(),
    OptionsHaveAnEffect(),
    EmitFits(),
    EmitMeetsSlo(),
    LatenessCoversDisorder(),
    MetricsHaveTests(),
    StepsSayOneThing(),
    EventsAreOfTheSource(),
    TimesCanBeRead(),
    ExpectationsNameColumns(),
)


def run(resolved: Resolved) -> list[Diagnostic]:
    """What all rules find."""
    return [finding for rule in RULES for finding in rule.check(resolved)]
