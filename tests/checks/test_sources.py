"""Sources whose parts fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, SOURCE, check, make_project


def found(folder: Path) -> list[str]:
    return [f"{f.code}@{f.span.line}:{f.span.column}" for f in check(folder)[1]]


LOAD = "load: { type: int, optional: true }"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("field: t,", "field: kind,", "PK406@15:22"),
        ("  t: timestamp", "  t: { type: timestamp, optional: true }", "PK406@15:22"),
        ("id: id", "id: idd", "PK408@14:5"),
        ("id: id", "id: country", "PK408@14:5"),
        ("id: id", "id: amount", "PK408@14:5"),
        (LOAD, "load: { type: int, default: slow }", "PK409@12:31"),
        (LOAD, "load: { type: int, default: 1, optional: true }", "PK409@12:31"),
        (LOAD, 'load: { type: "decimal(3,1)", default: 12.34 }', "PK409@12:42"),
        (LOAD, 'load: { type: "list<int>", default: 1 }', "PK409@12:39"),
        (LOAD, "load: { type: int, optional: true, unit: s }", "PK409@12:44"),
        (LOAD, "load: { type: int, optional: true, from: a..b }", "PK409@12:44"),
        (LOAD, 'load: { type: int, optional: true, from: ["header:x", y] }', "PK409@12:44"),
        (LOAD, "load: { type: int, optional: true, from: kind }", "PK409@12:3"),
        (LOAD, "load: { type: int, optional: true, from: kind.deeper }", "PK409@12:3"),
    ],
)
def test_part_that_does_not_fit_is_found_at_its_place(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in SOURCE
    metric = METRIC.split("tests:")[0]
    folder = make_project(tmp_path, source=SOURCE.replace(old, new), metric=metric)
    assert [f for f in found(folder) if not f.startswith("PK600")] == [expected]


def test_default_of_each_type_fits(tmp_path: Path) -> None:
    fields = 'a: { type: string, default: "" }, b: { type: bool, default: true }, '
    fields += "c: { type: int, default: -1 }, d: { type: float, default: 1 }, "
    fields += (
        'e: { type: "decimal(3,1)", default: 12.5 }, f: { type: "decimal(3,1)", default: "1" }'
    )
    lines = "".join(f"  {part}\n" for part in fields.replace("}, ", "}|").split("|"))
    source = SOURCE.replace("id: id\n", f"{lines}id: id\n", 1)
    assert found(make_project(tmp_path, source=source)) == []


def test_source_without_dead_letters_is_a_warning(tmp_path: Path) -> None:
    source = SOURCE.replace("dead_letters: { topic: dead }\n", "")
    assert found(make_project(tmp_path, source=source)) == ["PK411@1:1"]
