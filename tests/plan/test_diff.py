"""Each change has its verdict; what means the same is no change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelinekit.plan.build import build
from pipelinekit.plan.diff import diff, verdict
from pipelinekit.plan.verdicts import Verdict
from tests.plan.projects import changed, item, resolved
from tests.spec.projects import METRIC, SOURCE

MEASURES = "  n: count()\n  total: sum(amount)\n"
VERDICTS = [
    ("metric", "kind: metric\n", "kind: metric\ndescription: Views.\n", "in_place", "description"),
    ("metric", "kind: metric\n", "kind: metric\nowner: a@b.c\n", "in_place", "owner"),
    ("metric", "sink: store", "sink: store\nslo: { freshness: 2s }", "in_place", "slo"),
    ("metric", "sink: store", "sink: store\nemit: { early: 1s, late: 2s }", "in_place", "emit"),
    ("metric", "name: one view", "name: a view", "in_place", "tests"),
    ("metric", "n: count()", "n: count()\n  last: last(user)", "in_place", "measure last"),
    ("metric", "n: count()", "n: { measure: count(), unit: views }", "in_place",
     "unit of measure n"),
    ("metric", "[country]", "[{ name: country, description: ISO }]", "in_place",
     "description of key country"),
    ("metric", "[country]", "[{ name: country, max_values: 5 }]", "in_place",
     "max_values of key country"),
    ("metric", "filter: kind = 'view'", "filter: kind = 'click'", "replay", "filter"),
    ("metric", "filter: kind = 'view'\n", "", "replay", "filter"),
    ("metric", "allowed: 10m", "allowed: 20m", "replay", "lateness"),
    ("metric", "[country]", "[{ name: country, expr: lower(country) }]", "replay", "key country"),
    ("metric", "[country]", "[{ name: country, values: [BE] }]", "replay", "values of key country"),
    ("metric", "sum(amount)", "{ measure: sum(amount), filter: load > 1 }", "replay",
     "measure total"),
    ("metric", "sink: store", "sink: store\nrollups: [1h]", "replay", "rollup"),
    ("source", "out_of_orderness: 2s", "out_of_orderness: 3s", "replay",
     "out_of_orderness of source events"),
    ("source", "topic: events", "topic: events_2", "replay", "topic of source events"),
    ("source", 'type: "decimal(18,2)", optional: true', 'type: "decimal(18,2)", default: 0',
     "replay", "default of field amount of source events"),
    ("source", "  kind: string", "  kind: string\n  must: string", "replay",
     "field must of source events"),
    ("sink", "database: analytics", "database: other", "new_table", "database of sink store"),
    ("metric", "sink: store", "sink: store\nversion: 2", "new_table", "version"),
    ("metric", "[country]", "[country, user]\nversion: 2", "new_table", "key"),
    ("metric", "{ tumbling: 1m }", "{ tumbling: 5m }\nversion: 2", "new_table", "window"),
    ("metric", "sum(amount)", "max(amount)\nversion: 2", "new_table", "measure total"),
    ("metric", "  total: sum(amount)\n", "", "breaking", "measure total"),
    ("metric", "sum(amount)", "{ measure: sum(amount), hidden: true }", "breaking",
     "measure total"),
    ("source", "country: { type: string, optional", "country: { type: int, optional", "breaking",
     "type of field country of source events"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new", "expected", "what"), VERDICTS)
def test_change_has_its_verdict_and_reason(
    kind: str, old: str, new: str, expected: str, what: str, tmp_path: Path
) -> None:
    if "country: { type: int" in new:  # the test of the metric must fit as well
        before = resolved(tmp_path / "old", metric=METRIC.split("tests:")[0])
        files = {"metric": METRIC.split("tests:")[0], "source": SOURCE.replace(old, new)}
        found = item(diff(before, resolved(tmp_path / "new", **files)))
    else:
        found = item(changed(tmp_path, kind, old, new))
    assert found.verdict.value == expected
    assert what in [c.what for c in found.changes]


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("metric", "tumbling: 1m", "tumbling: 60s"),
        ("metric", "allowed: 10m", "allowed: 600s"),
        ("metric", "filter: kind = 'view'", "filter:   (kind) = 'view'"),
        ("metric", "filter: kind", "# a comment\nfilter: kind"),
        ("metric", "sum(amount)", "sum( amount )"),
        ("metric", "sink: store\n", "sink: [store]\nversion: 1\n"),
        ("metric", "[country]", "[{ name: country, expr: country }]"),
        ("metric", "sink: store", "sink: store\nemit: { early: 200ms, late: 1000ms }"),
        ("source", "  id: string\n  t: timestamp\n", "  t: timestamp\n  id: { type: string }\n"),
        ("source", "out_of_orderness: 2s", "out_of_orderness: 2000ms"),
    ],
)
def test_another_spelling_of_the_same_is_no_change(
    kind: str, old: str, new: str, tmp_path: Path
) -> None:
    found = changed(tmp_path, kind, old, new)
    assert {i.verdict for i in found.items} == {Verdict.UNCHANGED}
    assert (found.statements, found.findings) == ((), ())


@pytest.mark.parametrize(
    ("kind", "old", "new", "what"),
    [
        ("source", "topic: dead", "topic: letters", "dead letters"),
        ("source", "load: { type: int, optional: true }", "load: { type: float, optional: true }",
         "type of field load"),
        ("source", "  load: { type: int, optional: true }\n", "", "field load"),
        ("source", "id: id\n", "id: kind\n", "id"),
        ("sink", "database", "budget: { rows_per_second: 5 }\ndatabase", "budget"),
        ("sink", "database", "password: { secret: TOP }\ndatabase", "password"),
        ("sink", "kind: sink", "kind: sink\nowner: a@b.c", "owner"),
    ],
)  # fmt: skip
def test_what_reaches_no_row_is_the_sources_or_sinks_own(
    kind: str, old: str, new: str, what: str, tmp_path: Path
) -> None:
    found = changed(tmp_path, kind, old, new)
    assert item(found, kind).verdict is Verdict.IN_PLACE
    assert [c.what for c in item(found, kind).changes] == [what]
    assert item(found).verdict is Verdict.UNCHANGED


def test_order_of_measures_is_that_of_the_views_columns_and_nothing_else(tmp_path: Path) -> None:
    found = changed(tmp_path, "metric", MEASURES, "".join(MEASURES.splitlines(True)[::-1]))
    assert {i.verdict for i in found.items} == {Verdict.UNCHANGED}
    (ddl,) = found.statements
    assert [s.split(" AS ")[0] for s in ddl.statements] == [
        "CREATE OR REPLACE VIEW `analytics`.`views`"
    ]


def test_id_matters_to_measures_that_need_it(tmp_path: Path) -> None:
    metric = METRIC.replace("n: count()", "n: count()\n  last: last(user)")
    old = resolved(tmp_path / "old", metric=metric)
    new = resolved(tmp_path / "new", metric=metric, source=SOURCE.replace("id: id\n", "id: kind\n"))
    assert item(diff(old, new)).verdict is Verdict.REPLAY


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("[country]", "[country, user]", "key of views"),
        ("tumbling: 1m", "tumbling: 5m", "window of views"),
        ("sum(amount)", "max(amount)", "measure total and type of measure total of views"),
    ],
)
def test_another_shape_without_another_version_is_a_finding(
    old: str, new: str, what: str, tmp_path: Path
) -> None:
    metric = METRIC.split("tests:")[0]
    before = resolved(tmp_path / "old", metric=metric)
    found = diff(before, resolved(tmp_path / "new", metric=metric.replace(old, new)))
    (finding,) = found.findings
    assert finding.code == "PK500"
    assert finding.message == f"{what} changed, and its version is still 1"
    assert (finding.span.line, finding.span.column) == (2, 7)


def test_state_column_comes_in_place_and_its_end_breaks_readers(tmp_path: Path) -> None:
    plain = METRIC.replace("sum(amount)", "{ measure: approx_count_distinct(user) }")
    kept = plain.replace("(user) }", "(user), state: true }")
    old, new = (
        resolved(tmp_path / name, metric=text) for name, text in (("old", plain), ("new", kept))
    )
    for before, after, expected in ((old, new, Verdict.IN_PLACE), (new, old, Verdict.BREAKING)):
        found = item(diff(before, after))
        assert (found.verdict, [c.what for c in found.changes]) == (
            expected,
            ["state of measure total"],
        )


def test_hidden_measure_may_change_its_kind(tmp_path: Path) -> None:
    hidden = METRIC.replace("sum(amount)", "{ measure: sum(amount), hidden: true }")
    old = resolved(tmp_path / "old", metric=hidden)
    new = resolved(tmp_path / "new", metric=hidden.replace("sum(amount)", "max(amount)"))
    found = diff(old, new)
    assert (item(found).verdict, found.findings) == (Verdict.REPLAY, ())


def test_added_and_removed_specs(tmp_path: Path) -> None:
    one = resolved(tmp_path / "one")
    other = METRIC.replace("name: views", "name: clicks")
    two = resolved(tmp_path / "two", **{"metrics/clicks.yaml": other})
    added = {(i.kind, i.name): i for i in diff(one, two).items}
    assert added["metric", "clicks"].verdict is Verdict.ADDED
    assert added["metric", "clicks"].tables == ("clicks_1m",)
    assert added["metric", "views"].verdict is Verdict.UNCHANGED
    removed = {(i.kind, i.name): i for i in diff(two, one).items}["metric", "clicks"]
    assert (removed.verdict, removed.tables, removed.left) == (Verdict.REMOVED, (), ("clicks_1m",))


def test_where_nothing_was_everything_is_added(tmp_path: Path) -> None:
    found = diff(None, resolved(tmp_path))
    assert {i.verdict for i in found.items} == {Verdict.ADDED}
    assert len(found.items) == 3
    (ddl,) = found.statements
    assert ddl.statements[0].startswith("CREATE DATABASE")


def test_raised_version_names_both_tables_and_the_statements(tmp_path: Path) -> None:
    found = changed(tmp_path, "metric", "[country]", "[country, user]\nversion: 2")
    assert (item(found).tables, item(found).left) == (("views_v2_1m",), ("views_1m",))
    assert found.findings == ()
    (ddl,) = found.statements
    heads = [" ".join(s.split()[:6]) for s in ddl.statements]
    assert heads[0].startswith("CREATE TABLE IF NOT EXISTS `analytics`.`views_v2_1m`")
    assert "CREATE OR REPLACE VIEW `analytics`.`views` AS" in heads


def test_new_measure_is_a_column_and_keeps_the_state(tmp_path: Path) -> None:
    found = changed(tmp_path, "metric", "n: count()", "n: count()\n  m: max(load)")
    assert item(found).state == "is kept; null in windows already open: m"
    assert "ADD COLUMN IF NOT EXISTS `m` Nullable(Int64)" in found.statements[0].statements[0]


def test_other_filter_begins_anew(tmp_path: Path) -> None:
    found = changed(tmp_path, "metric", "'view'", "'click'")
    assert item(found).state.startswith("begins anew with the first whole window of 1m")


def test_secret_is_shown_by_name(tmp_path: Path) -> None:
    found = changed(tmp_path, "sink", "database", "password: { secret: TOP }\ndatabase")
    assert item(found, "sink").changes[0].new == "<secret TOP>"


def test_plans_alone_say_what_can_not_go_on_from_a_state(tmp_path: Path) -> None:
    (old,) = build(resolved(tmp_path / "old"))
    new_metric = METRIC.replace("[country]", "[user]").split("tests:")[0]
    (new,) = build(resolved(tmp_path / "new", metric=new_metric))
    (found,) = verdict(old, new)
    assert found.unversioned == ("key",)
    (same,) = verdict(old, replace(old, environment="production"))
    assert same.verdict is Verdict.UNCHANGED


STAGE = """\
kind: metric
name: by_hour
from: views
key: [country]
measures: { minutes: count(), total: sum(total) }
window: { tumbling: 1h }
"""


@pytest.mark.parametrize(
    ("old", "new", "verdict", "what"),
    [
        ("count()", "count() ", Verdict.UNCHANGED, []),
        ("[country]", "[]", Verdict.IN_PLACE, ["key"]),
        ("window: { tumbling: 1h }", "window: { tumbling: 1d }", Verdict.IN_PLACE, ["window"]),
        ("key:", "filter: n > 1\nkey:", Verdict.IN_PLACE, ["filter"]),
        ("sum(total)", "max(total)", Verdict.IN_PLACE, ["measure total"]),
        (", total: sum(total)", "", Verdict.BREAKING, ["measure total"]),
    ],
)
def test_a_metric_over_rows_is_a_view_made_anew(
    tmp_path: Path, old: str, new: str, verdict: Verdict, what: list[str]
) -> None:
    assert old in STAGE
    before = resolved(tmp_path / "old", **{"metrics/by_hour.yaml": STAGE})
    after = resolved(tmp_path / "new", **{"metrics/by_hour.yaml": STAGE.replace(old, new)})

    found = diff(before, after)

    (stage,) = (i for i in found.items if i.name == "by_hour")
    assert (stage.verdict, [c.what for c in stage.changes]) == (verdict, what)
    assert found.findings == ()
    statements = [s for sink in found.statements for s in sink.statements]
    is_same = verdict is Verdict.UNCHANGED
    assert [s[:50] for s in statements] == (
        [] if is_same else ["CREATE OR REPLACE VIEW `analytics`.`by_hour` AS SE"]
    )


def test_an_added_metric_over_rows_is_a_view_more(tmp_path: Path) -> None:
    before = resolved(tmp_path / "old")
    found = diff(before, resolved(tmp_path / "new", **{"metrics/by_hour.yaml": STAGE}))

    (stage,) = (i for i in found.items if i.name == "by_hour")
    assert (stage.verdict, stage.tables) == (Verdict.ADDED, ("by_hour",))
    (removed,) = (i for i in diff(resolved(tmp_path / "new"), before).items if i.name == "by_hour")
    assert (removed.verdict, removed.left) == (Verdict.REMOVED, ("by_hour",))
