"""A key with as many values as events is a warning; a bounded one is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, SOURCE, check, make_project

SOURCE_WITH = SOURCE.replace(
    "  bot:", "  speed: { type: float, optional: true }\n  stars: 'decimal(2,1)'\n  bot:"
)


def found(folder: Path, key: str) -> list[str]:
    metric = METRIC.split("tests:")[0].replace("key: [country]", f"key: {key}")
    _, findings = check(make_project(folder, source=SOURCE_WITH, metric=metric))
    assert {f.code for f in findings} <= {"PK360", "PK600"}, findings
    return [f"{f.span.line}:{f.path}: {f.message}" for f in findings if f.code == "PK360"]


@pytest.mark.parametrize(
    "key",
    [
        "id", "t", "amount", "lower(id)", "concat('a', id)", "greatest(t, t)", "amount + 1",
        "cast(speed as decimal(9,2))", "case when bot then 'bot' else id end", "coalesce(user, id)",
        "cast(speed * 2 + load as decimal(18,4))",
    ],
)  # fmt: skip
def test_key_with_a_value_for_each_event_is_found(tmp_path: Path, key: str) -> None:
    (said,) = found(tmp_path, f'[{{ name: k, expr: "{key}" }}]')
    assert said.startswith('5:key[0].expr: the key "k" has about as many values as there are')


@pytest.mark.parametrize(
    "key",
    [
        "user", "country", "load", "stars", "date_trunc('minute', t)", "cast(t as date)",
        "extract(hour from t)", "substring(id, 1, 2)", "round(amount)", "cast(speed as int)",
        "length(id)", "case when id = 'a' then 'x' else 'y' end", "load % 10", "t is null",
        "cast(floor(speed) as int)", "cast(speed as decimal(4,1))",
    ],
)  # fmt: skip
def test_key_that_events_share_is_fine(tmp_path: Path, key: str) -> None:
    assert found(tmp_path, f'[{{ name: k, expr: "{key}" }}]') == []


def test_key_with_values_is_fine_and_places_are_of_the_key(tmp_path: Path) -> None:
    assert found(tmp_path / "a", "[{ name: id, values: [a, b] }]") == []
    assert found(tmp_path / "b", "[country, id]")[0].startswith("5:key[1]: ")
    assert found(tmp_path / "c", "id")[0].startswith("5:key: ")


@pytest.mark.parametrize("expr", ["t", "amount", "cast(speed as decimal(9,2))"])
def test_number_that_is_said_to_repeat_is_left_to_the_run(tmp_path: Path, expr: str) -> None:
    assert found(tmp_path, f'[{{ name: k, expr: "{expr}", max_values: 100 }}]') == []


@pytest.mark.parametrize("expr", ["id", "coalesce(user, id)"])
def test_id_never_repeats_whatever_is_said(tmp_path: Path, expr: str) -> None:
    (said,) = found(tmp_path, f'[{{ name: k, expr: "{expr}", max_values: 100 }}]')
    assert said.startswith('5:key[0].expr: the key "k"')
