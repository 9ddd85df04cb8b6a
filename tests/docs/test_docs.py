"""The docs say what is so: generated pages are current, examples hold, links and verbs exist."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import click
import pytest

from pipelinekit import checks
from pipelinekit.cli.main import VERBS, cli
from pipelinekit.diagnostics import Diagnostic, Severity
from pipelinekit.plan.build import build
from pipelinekit.runtime.scenario import run_test
from pipelinekit.spec.formatting import formatted
from pipelinekit.spec.loading import load
from pipelinekit.spec.models.metric import MetricSpec, StageSpec
from pipelinekit.spec.models.sink import ClickHouseSinkSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.models.values import Model
from pipelinekit.spec.resolve import Resolved, resolve

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PLACES = {"source": "sources", "sink": "sinks", "metric": "metrics", "test": "metrics"}
REFUSED = "<!-- refused -->"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)\[[^\]\n]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"\bpipelinekit ([a-z_]+)((?:[ \t]+[^\s`|&;#]+)*)")
_OPTION = re.compile(r"^(--[a-z-]+|-[a-zA-Z])(?:=.*)?$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `is_refused`: marked as one that must give an error."""

    page: Path
    line: int
    language: str
    text: str
    is_refused: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        before = text[: found.start()]
        yield Block(
            page,
            before.count("\n") + 1,
            found[1],
            found[2],
            before.rstrip().endswith(REFUSED),
        )


def key_of(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}: *([a-z0-9_]+)", text, re.MULTILINE)
    return found[1] if found else None


SPECS = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml" and key_of(block.text, "kind")
]


def placed(block: Block, folder: Path) -> Path:
    """The block as a file of the example project, in place of its namesake.

    What it is over stands on its page, and lies beside it.
    """
    project = folder / "specs"
    shutil.copytree(ROOT / "specs", project)
    over = key_of(block.text, "from")
    for other in SPECS:
        if other.page == block.page and over and key_of(other.text, "name") == over:
            write(other, project)
    return write(block, project)


def write(block: Block, project: Path) -> Path:
    kind = key_of(block.text, "kind") or ""
    name = key_of(block.text, "name") or "block"
    place = project / PLACES.get(kind, "metrics")
    for namesake in place.rglob(f"{name}.yaml"):
        namesake.unlink()
    # A file of tests is named after its metric.
    stem = f"{key_of(block.text, 'metric')}.test" if kind == "test" else name
    file = place / f"{stem}.yaml"
    file.write_text(block.text, encoding="utf-8")
    return file


def found_in(file: Path, project: Path) -> tuple[Resolved, list[Diagnostic]]:
    """The resolved project, and the errors that lie in the file."""
    loaded, report = load(project)
    resolved = resolve(loaded)
    report.add(*resolved.findings, *checks.run(resolved))
    mine = [
        finding
        for finding in report.findings
        if Path(finding.span.file).resolve() == file.resolve()
        and finding.severity is Severity.ERROR
    ]
    return resolved, mine


@lru_cache(maxsize=1)
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_reference_is_what_is_generated() -> None:
    folder = ROOT / "docs" / "reference"
    stale = [
        name
        for name, text in generator().pages().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, (
        f"run `python docs/generate.py` and commit: {', '.join(stale)} are not current"
    )


def test_reference_has_no_page_that_nothing_generates() -> None:
    there = {page.name for page in (ROOT / "docs" / "reference").glob("*.md")}
    assert there == set(generator().pages())


@pytest.mark.parametrize("model", [MetricSpec, StageSpec, SourceSpec, ClickHouseSinkSpec])
def test_reference_has_every_key_of_a_spec(model: type[Model]) -> None:
    page = (ROOT / "docs" / "reference" / "spec.md").read_text(encoding="utf-8")
    keys = [field.alias or name for name, field in model.model_fields.items()]
    tables = [re.findall(r"^\| `([^`]+)`", part, re.MULTILINE) for part in page.split("\n\n")]
    assert keys in tables


@pytest.mark.parametrize("block", SPECS, ids=str)
def test_spec_in_the_docs_is_valid_or_refused_as_it_says(block: Block, tmp_path: Path) -> None:
    file = placed(block, tmp_path)
    _, errors = found_in(file, tmp_path / "specs")
    if block.is_refused:
        assert errors, f"{block} is marked as refused, and nothing is found in it"
    else:
        assert not errors, "\n".join(f"{block}: {e.code} {e.message}" for e in errors)


@pytest.mark.parametrize("block", [b for b in SPECS if not b.is_refused], ids=str)
def test_spec_in_the_docs_is_in_the_form_that_fmt_gives(block: Block) -> None:
    assert formatted(block.text, str(block)) == block.text


@pytest.mark.parametrize(
    "block",
    [b for b in SPECS if not b.is_refused and key_of(b.text, "kind") in ("metric", "test")],
    ids=str,
)
def test_tests_of_metrics_in_the_docs_pass(block: Block, tmp_path: Path) -> None:
    file = placed(block, tmp_path)
    resolved, errors = found_in(file, tmp_path / "specs")
    assert not errors
    name = key_of(block.text, "metric") or key_of(block.text, "name") or ""
    plan = build(resolved, {name})[0]
    for test in resolved.project.tests[name]:
        result = run_test(plan, test.spec)
        assert result.passed, "\n".join(f"{block}: {f.text}" for f in result.failures)


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, and there is no such file"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}: no such heading"


def commands_in(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Verb and words of each `pipelinekit VERB …` that stands in code."""
    text = page.read_text(encoding="utf-8")
    code = [found[2] for found in _BLOCK.finditer(text) if found[1] in ("sh", "console", "text")]
    code += re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    for piece in code:
        for verb, words in _COMMAND.findall(piece):
            yield verb, words.split()


def test_the_list_of_decisions_has_each_under_its_title() -> None:
    listed = (ROOT / "docs/README.md").read_text()
    for page in sorted((ROOT / "docs/decisions").glob("0*.md")):
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"- [{title}](decisions/{page.name})" in listed


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_verbs_and_options_that_are_named_exist(page: Path) -> None:
    context = click.Context(cli)
    for verb, words in commands_in(page):
        assert verb in VERBS, f"{page.name} names the verb {verb}"
        command = cli.get_command(context, verb)
        assert command is not None
        known = {o for p in command.params for o in p.opts} | {"-h", "--help"}
        for word in words:
            if option := _OPTION.match(word):
                assert option[1] in known, f"{page.name}: {verb} has no option {option[1]}"
