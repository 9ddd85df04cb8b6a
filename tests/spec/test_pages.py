"""The examples of `explain`: each bad one gives its code, each good one doesn't."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.findings import Page, page_text, pages
from tests.spec.projects import check

ROOT = Path(__file__).parents[2]
PROJECT = """\
spec_version: 1
environments:
  local: { KAFKA: "127.0.0.1:9092", CLICKHOUSE: "http://127.0.0.1:8123" }
"""
SOURCE = """\
kind: source
name: user_events
topic: user_events
brokers: ${KAFKA}
fields:
  event_id: string
  event_type: string
  occurred_at: timestamp
  user_id: { type: string, optional: true }
  country: { type: string, optional: true }
  device: { type: string, optional: true }
  page: { type: string, optional: true }
  load_ms: { type: int, optional: true }
  is_bot: { type: bool, default: false }
id: event_id
event_time: { field: occurred_at, out_of_orderness: 2s }
dead_letters: { topic: late_events }
"""
SINK = """\
kind: sink
name: warehouse
type: clickhouse
url: ${CLICKHOUSE}
database: analytics
"""
METRIC = """\
kind: metric
name: views
source: user_events
key: [country]
measures:
  views: count()
window: { tumbling: 1m }
lateness: { allowed: 10m }
sink: warehouse
tests:
  - name: one view
    steps:
      - events: [{ occurred_at: "12:00:05", event_type: view, country: BE }]
    expect: [{ window: "12:00", country: BE, views: 1 }]
"""
LAST = METRIC.replace("views: count()", "last_page: last(page)").replace(", views: 1", "")
FILES = {
    "pipelinekit.yaml": PROJECT,
    "sources/user_events.yaml": SOURCE,
    "sinks/warehouse.yaml": SINK,
    "metrics/views.yaml": METRIC,
    "metrics/last_page.yaml": LAST.replace("name: views", "name: last_page"),
}
_KEY = re.compile(r"^(?=\w+:)", re.MULTILINE)
ALL = pages()


def laid_over(base: str, fragment: str) -> str:
    """The base file with the fragment's top-level keys instead of its own."""
    blocks = {b.split(":")[0]: b for b in _KEY.split(base) if b}
    blocks |= {b.split(":")[0]: b.rstrip("\n") + "\n" for b in _KEY.split(fragment) if b}
    return "".join(blocks.values())


def codes(folder: Path, page: Page, example: str, file: str) -> set[str]:
    """The codes of what is found when the example stands in the file, after what stood before."""
    return {finding.code for finding in found(folder, page, example, file)}


def found(folder: Path, page: Page, example: str, file: str) -> list[Diagnostic]:
    if page.before is None:
        return check(placed(folder, page, example, file))[1]
    from pipelinekit.plan.diff import diff

    old, _ = check(placed(folder / "old", page, page.before, file))
    new, findings = check(placed(folder / "new", page, example, file))
    return [*findings, *diff(old, new).findings]


def placed(folder: Path, page: Page, example: str, file: str) -> Path:
    """The folder of a project in which the example stands in the file."""
    base = FILES.get(file, METRIC)
    text = example if page.is_whole else laid_over(base, example)
    for name, content in {**FILES, file: text + "\n"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_base_of_the_examples_is_fine(tmp_path: Path) -> None:
    page = Page("", "", "", "", "")
    assert codes(tmp_path, page, "name: views", "metrics/views.yaml") == set()


@pytest.mark.parametrize("page", ALL.values(), ids=ALL)
def test_bad_example_gives_its_code_and_good_one_does_not(page: Page, tmp_path: Path) -> None:
    bad = [f for f in found(tmp_path / "bad", page, page.bad, page.file) if f.code == page.code]
    assert {f.severity.value for f in bad} == {page.severity}
    good = codes(tmp_path / "good", page, page.good, page.good_file or page.file)
    assert page.code not in good


def test_every_code_in_the_source_has_a_page() -> None:
    used = set()
    for path in (ROOT / "pipelinekit").rglob("*.py"):
        used |= set(re.findall(r'"(PK\d{3})"', path.read_text()))
    assert used == ALL.keys()


@pytest.mark.parametrize("page", ALL.values(), ids=ALL)
def test_page_is_complete_and_printable(page: Page) -> None:
    text = page_text(page)
    assert text.startswith(f"{page.code}: {page.title}\n")
    assert page.why.endswith(".")
    assert all(character.isprintable() or character == "\n" for character in text)
