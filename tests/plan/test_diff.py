"""What a change of specs means: each rule of the language, by its verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.plan.build import build
from pipelinekit.plan.diff import Diff, diff, verdict
from pipelinekit.plan.verdicts import Verdict
from pipelinekit.spec.project import load
from pipelinekit.spec.resolve import resolve
from tests.spec.projects import FILES, METRIC, SOURCE

METRIC_FILE = "metrics/views.yaml"


def resolved(folder: Path, files: dict[str, str]):
    for name, text in {**FILES, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project, report = load(folder)
    assert not report.has_errors, report.findings
    found = resolve(project)
    assert not found.findings, found.findings
    return found


@pytest.fixture
def compare(tmp_path: Path):
    def run(file: str, text: str, before: str | None = None) -> Diff:
        old = resolved(tmp_path / "old", {} if before is None else {file: before})
        return diff(old, resolved(tmp_path / "new", {file: text}))

    return run


def of(found: Diff, name: str = "views") -> Verdict:
    return next(i.verdict for i in found.items if i.name == name)


@pytest.mark.parametrize(
    ("was", "is_", "expected"),
    [
        ("key: [country]", "key: [ country ]  # the same", Verdict.UNCHANGED),
        ("allowed: 10m", "allowed: 600s", Verdict.UNCHANGED),
        ("filter: kind = 'view'", "filter: (kind) = ('view')", Verdict.UNCHANGED),
        ("name: views\n", "name: views\nowner: me@example.com\n", Verdict.IN_PLACE),
        ("name: views\n", "name: views\nslo: { freshness: 2s }\n", Verdict.IN_PLACE),
        ("name: views\n", "name: views\nemit: { early: 1s }\n", Verdict.IN_PLACE),
        ("  n: count()\n", "  n: count()\n  most: max(load)\n", Verdict.IN_PLACE),
        ("name: one view", "name: a view", Verdict.IN_PLACE),
        ("kind = 'view'", "kind = 'click'", Verdict.REPLAY),
        ("allowed: 10m", "allowed: 1h", Verdict.REPLAY),
        ("total: sum(amount)", "total: sum(amount * 2)", Verdict.REPLAY),
        ("key: [country]", "key: [country, kind]", Verdict.NEW_TABLE),
        ("tumbling: 1m", "tumbling: 5m", Verdict.NEW_TABLE),
        ("n: count()", "n: avg(load)", Verdict.NEW_TABLE),
        ("  total: sum(amount)\n", "", Verdict.BREAKING),
    ],
)
def test_change_of_a_metric_has_its_verdict(compare, was: str, is_: str, expected: Verdict) -> None:
    base = METRIC.split("tests:")[0] if "tumbling" in was or "key" in was or "n:" in was else METRIC
    assert was in base
    assert of(compare(METRIC_FILE, base.replace(was, is_), before=base)) is expected


@pytest.mark.parametrize(
    ("was", "is_", "expected"),
    [
        ("out_of_orderness: 2s", "out_of_orderness: 2000ms", Verdict.UNCHANGED),
        ("out_of_orderness: 2s", "out_of_orderness: 5s", Verdict.REPLAY),
        ("bot: { type: bool, default: false }", "bot: { type: bool, default: true }", None),
        ('amount: { type: "decimal(18,2)"', 'amount: { type: "decimal(18,4)"', Verdict.BREAKING),
    ],
)
def test_change_of_a_source_reaches_the_metrics_that_read_it(
    compare, was: str, is_: str, expected: Verdict | None
) -> None:
    assert was in SOURCE
    found = of(compare("sources/events.yaml", SOURCE.replace(was, is_)))
    # A default of a field that no filter reads changes no row of this metric.
    assert found is (expected or Verdict.UNCHANGED)


def test_shape_without_a_raised_version_is_a_finding_at_its_place(compare) -> None:
    base = METRIC.split("tests:")[0]
    found = compare(METRIC_FILE, base.replace("tumbling: 1m", "tumbling: 5m"), before=base)
    (finding,) = found.findings
    assert finding.code == "PK500"
    raised = base.replace("tumbling: 1m", "tumbling: 5m") + "version: 2\n"
    assert compare(METRIC_FILE, raised, before=base).findings == ()


def test_a_raised_version_leaves_the_old_tables_and_makes_new_ones(compare) -> None:
    base = METRIC.split("tests:")[0]
    raised = base.replace("tumbling: 1m", "tumbling: 5m") + "version: 2\n"
    found = compare(METRIC_FILE, raised, before=base)
    (item,) = (i for i in found.items if i.name == "views")
    assert (item.tables, item.left) == (("views_v2_5m",), ("views_1m",))
    statements = [s for group in found.statements for s in group.statements]
    assert any("CREATE TABLE" in s and "views_v2_5m" in s for s in statements)


def test_metrics_come_and_go(compare) -> None:
    other = METRIC.replace("name: views", "name: others")
    found = compare("metrics/others.yaml", other)
    assert of(found, "others") is Verdict.ADDED
    assert of(found) is Verdict.UNCHANGED


def test_plans_alone_give_the_verdict_that_a_submission_asks_for(tmp_path: Path) -> None:
    base = METRIC.split("tests:")[0]
    (old,) = build(resolved(tmp_path / "a", {METRIC_FILE: base}))
    changed = base.replace("key: [country]", "key: [kind]")
    (new,) = build(resolved(tmp_path / "b", {METRIC_FILE: changed}))
    assert [i.unversioned for i in verdict(old, new)] == [("key",)]
    assert [i.unversioned for i in verdict(old, old)] == [()]
