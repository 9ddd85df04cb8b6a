"""A plan survives its bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.errors import Refused
from pipelinekit.plan.build import build
from pipelinekit.plan.codec import decode, encode
from pipelinekit.plan.model import Plan
from pipelinekit.spec.expressions.tree import Literal
from pipelinekit.spec.loading import load
from pipelinekit.spec.resolve import resolve
from pipelinekit.types import decimal_type
from pipelinekit.windows.tumbling import CalendarTumbling
from tests import plans

SPECS = Path(__file__).parents[2] / "specs"


def example() -> Plan:
    project, _ = load(SPECS)
    return build(resolve(project))[0]


def test_the_example_project_comes_back_equal() -> None:
    plan = example()
    assert decode(encode(plan)) == plan


def test_equal_plans_give_equal_bytes() -> None:
    assert encode(example()) == encode(decode(encode(example())))


def test_what_another_version_has_is_refused_only_where_it_is_used() -> None:
    plan = example()
    document = json.loads(encode(plan))
    metric = document["plan"]["metrics"][0]
    metric["of_later"] = None
    assert decode(json.dumps(document).encode()) == plan
    metric["of_later"] = 5
    with pytest.raises(Refused, match="can read"):
        decode(json.dumps(document).encode())


def test_calendar_windows_and_decimal_literals_come_back() -> None:
    metric = plans.metric(
        "m",
        [plans.measure("n", "count()", filter="amount > 1.50")],
        window=CalendarTumbling("1mo", "Europe/Brussels"),
    )
    plan = replace(example(), metrics=(metric,))
    assert decode(encode(plan)) == plan


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(),
        st.floats(allow_nan=False),
        st.decimals(allow_nan=False, allow_infinity=False),
    )
)
def test_any_literal_comes_back(value: object) -> None:
    literal = Literal(value, decimal_type(38, 2))  # type: ignore[arg-type]
    plan = example_with(literal)
    back = decode(encode(plan)).metrics[0].filter
    assert isinstance(back, Literal)
    assert back.value == value
    assert type(back.value) is type(value)


def example_with(filter: Literal) -> Plan:
    metric = plans.metric("m", [plans.measure("n", "count()")])
    return Plan("events", "local", plans.source(), (replace(metric, filter=filter),), ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"format": 99, "plan": null}',
        json.dumps({"format": 1, "plan": {"is": "Nothing"}}).encode(),
        json.dumps({"format": 1, "plan": {"is": "Plan", "job": "x"}}).encode(),
        json.dumps({"format": 1, "plan": {"is": "Literal", "value": 1, "type": None}}).encode(),
    ],
)
def test_what_is_no_plan_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        decode(data)
