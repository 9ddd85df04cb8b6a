"""What pages show as output is what is printed: by `validate`, and by Beam YAML when recorded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelinekit.cli.validate import validate
from tests.docs.test_docs import PAGES, ROOT, SPECS, Block, blocks, key_of, placed

MISTAKES = ROOT / "docs" / "analyst" / "mistakes.md"
RECORDED = ROOT / "docs" / "analyst" / "mistakes"
_VALIDATE = re.compile(r"\$ pipelinekit validate (metrics/(\w+)\.yaml)\n")
_BEAM = "$ python -m apache_beam.yaml.main "
_GAP = re.compile(r"…(?: (\d+) lines)?")


@dataclass(frozen=True)
class Shown:
    """An output on a page, and the spec above it that it is of."""

    output: Block
    spec: Block
    path: str

    def __str__(self) -> str:
        return str(self.output)


def shown(page: Path) -> Iterator[Shown]:
    specs: dict[str | None, Block] = {}
    for block in blocks(page):
        if block in SPECS:
            specs[key_of(block.text, "name")] = block
        elif found := _VALIDATE.match(block.text):
            yield Shown(block, specs[found[2]], found[1])


def matches(pattern: list[str], lines: list[str]) -> bool:
    """Whether the lines are as shown; `…` stands for any number, `… 5 lines` for five."""
    if not pattern:
        return not lines
    if gap := _GAP.fullmatch(pattern[0]):
        lengths = [int(gap[1])] if gap[1] else range(len(lines) + 1)
        return any(n <= len(lines) and matches(pattern[1:], lines[n:]) for n in lengths)
    return bool(lines) and lines[0] == pattern[0] and matches(pattern[1:], lines[1:])


@pytest.mark.parametrize("case", [s for page in PAGES for s in shown(page)], ids=str)
def test_validate_prints_what_the_page_shows(
    case: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(case.spec, tmp_path)
    monkeypatch.chdir(tmp_path / "specs")
    printed = CliRunner().invoke(validate, [case.path], standalone_mode=False).output
    expected = case.output.text.splitlines()[1:]
    assert matches(expected, printed.splitlines()), f"{case} prints now\n{printed}"


RECORDINGS = {
    text.splitlines()[0]: text.splitlines()
    for text in (file.read_text(encoding="utf-8") for file in RECORDED.glob("*.txt"))
}
BEAM = [b for b in blocks(MISTAKES) if b.text.startswith(_BEAM)]


@pytest.mark.parametrize("block", BEAM, ids=str)
def test_recording_of_beam_holds_what_the_page_shows(block: Block) -> None:
    expected = block.text.splitlines()
    assert matches(expected, RECORDINGS[expected[0]])


def test_part_of_a_pipeline_on_the_page_stands_in_the_pipeline_that_was_run() -> None:
    all_blocks = list(blocks(MISTAKES))
    parts = [
        (part, run)
        for part, run in itertools.pairwise(all_blocks)
        if run in BEAM and part.language == "yaml"
    ]
    assert len(parts) >= 9
    for part, run in parts:
        name = re.search(r"--yaml_pipeline_file=(\S+)", run.text)
        assert name is not None
        assert part.text in (RECORDED / name[1]).read_text(encoding="utf-8"), str(part)


def test_every_pipeline_is_recorded_and_every_recording_has_its_pipeline() -> None:
    pipelines = {file.stem for file in RECORDED.glob("*.yaml")}
    assert pipelines == {file.name.split(".")[0] for file in RECORDED.glob("*.txt")}


@pytest.mark.parametrize(
    ("pattern", "lines", "expected"),
    [
        (["a", "…", "c"], ["a", "b", "b", "c"], True),
        (["a", "…"], ["a"], True),
        (["a", "… 2 lines", "c"], ["a", "b", "b", "c"], True),
        (["a", "… 1 lines", "c"], ["a", "b", "b", "c"], False),
        (["a", "c"], ["a", "b", "c"], False),
        (["a"], ["a", "b"], False),
    ],
)
def test_gap_stands_for_the_lines_left_out(
    pattern: list[str], lines: list[str], expected: bool
) -> None:
    assert matches(pattern, lines) is expected


def test_each_claim_of_the_comparison_has_its_source_and_each_source_its_claim() -> None:
    page = (ROOT / "docs" / "analyst" / "comparison.md").read_text(encoding="utf-8")
    claims, sources = page.split("## Sources")
    mark = r"[A-Z]\d(?:, [A-Z]\d)*"
    named = {m for group in re.findall(rf"\[({mark})\]", claims) for m in group.split(", ")}
    listed = {
        m
        for group in re.findall(rf"^\| ({mark}) \|", sources, re.MULTILINE)
        for m in group.split(", ")
    }
    assert named == listed
