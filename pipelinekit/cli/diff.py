"""`pipelinekit diff`: what a change of specs means for tables, state and readers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import click

from pipelinekit.cli.common import check, environment_option, project_root
from pipelinekit.cli.diff_text import RENDERERS
from pipelinekit.cli.garbage import uncollected
from pipelinekit.cli.render import rendered
from pipelinekit.diagnostics import Diagnostic, Report
from pipelinekit.errors import UsageError
from pipelinekit.plan.verdicts import Verdict
from pipelinekit.spec.document import Document
from pipelinekit.spec.layout import PROJECT_FILE, place
from pipelinekit.spec.loading import load
from pipelinekit.spec.resolve import Resolved, resolve

_VERDICTS = {v.value: v for v in Verdict if v is not Verdict.UNCHANGED}


@dataclass(frozen=True, slots=True)
class _Side:
    """A project's folder. `base` is cut from the names of files, `label` takes its place."""

    root: Path | None
    base: Path | None = None
    label: str = ""


def _parse_verdicts(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> frozenset[Verdict]:
    names = [name.strip() for value in values for name in value.split(",")]
    if wrong := [name for name in names if name not in _VERDICTS]:
        raise click.BadParameter(f'"{wrong[0]}" is no verdict; they are {", ".join(_VERDICTS)}')
    return frozenset(_VERDICTS[name] for name in names)


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    callback=_parse_verdicts,
    metavar="VERDICT[,VERDICT…]",
    help="Exit 1 if anything has one of these verdicts; may be repeated.",
)
@click.option(
    "--format", "format", type=click.Choice(list(RENDERERS)), default="text", show_default=True
)
@environment_option
def diff(
    old: str, new: str | None, fail_on: frozenset[Verdict], format: str, environment: str
) -> int:
    """Say what a change of specs means: for each metric, source and sink a verdict, and why.

    OLD and NEW are folders. Or OLD is git revisions, and NEW a path in the project that is meant
    (default: the one here): main..HEAD, main...HEAD (from where the two parted), or one revision,
    which is compared with the files as they lie here.

    Verdicts: unchanged, in_place, replay, new_table, breaking, added, removed. Exit code: 0 fine,
    1 findings or a verdict of --fail-on, 2 wrong use.
    """
    from pipelinekit.plan.diff import diff as compare

    with _sides(old, new) as (before, after):
        now = _new(after, environment)
        earlier = None if before.root is None else _old(before, environment, now)
        found = compare(earlier, now)
        named = replace(found, findings=tuple(_named(f, after) for f in found.findings))
        documents = _documents(now, after)
    click.echo(RENDERERS[format](named, documents), nl=False)
    is_failed = any(item.verdict in fail_on for item in named.items)
    return 1 if named.findings or is_failed else 0


@contextmanager
def _sides(old: str, new: str | None) -> Iterator[tuple[_Side, _Side]]:
    """The two projects, revisions written to a folder that is deleted at the end."""
    if Path(old).is_dir():
        if new is None:
            raise UsageError(f"{old} is a folder: with what is it to be compared?",
                             help=f"name the other folder: diff {old} NEW")  # fmt: skip
        if not Path(new).is_dir():
            raise UsageError(f"there is no folder {new}", help="name two folders: diff OLD NEW")
        yield _Side(project_root([Path(old)])), _Side(project_root([Path(new)]))
        return
    with tempfile.TemporaryDirectory(prefix="pipelinekit-diff-") as temporary:
        yield _revisions(old, Path(new) if new is not None else None, Path(temporary).resolve())


def _revisions(text: str, path: Path | None, temporary: Path) -> tuple[_Side, _Side]:
    from pipelinekit.cli import revisions

    if path is not None and not path.exists():
        raise UsageError(
            f'there is no folder "{text}", and no path {path} to look up a revision for',
            help="see pipelinekit diff --help",
        )
    root = project_root([path] if path is not None else [])
    repository = revisions.repository(root)
    three = "..." in text
    old, dots, new = text.partition("..." if three else "..")
    first = revisions.commit(repository, old or "HEAD")
    if dots:
        second = revisions.commit(repository, new or "HEAD")
        if three:
            first = revisions.merge_base(repository, first, second)

    def side(commit: str, name: str) -> _Side:
        base = temporary / commit
        has_specs = revisions.extract(repository, commit, root, base)
        folder = base / root.relative_to(repository)
        if not has_specs or not (folder / PROJECT_FILE).is_file():
            return _Side(None, label=name)
        return _Side(folder, base, name)

    before = side(first, old or "HEAD")
    if not dots:
        return before, _Side(root)
    after = side(second, new or "HEAD")
    if after.root is None:
        shown = root.relative_to(repository)
        raise UsageError(
            f"there is no {PROJECT_FILE} in {shown} at {after.label}",
            help="name the revision that has the specs second: OLD..NEW",
        )
    return before, after


def _new(side: _Side, environment: str) -> Resolved:
    """The project as it shall be. Exits 1 with its findings if there are errors."""
    assert side.root is not None
    checked = check([side.root], environment)
    if checked.report.has_errors:
        _give_up(side, checked.resolved, checked.report, "NEW")
    return checked.resolved


def _old(side: _Side, environment: str, new: Resolved) -> Resolved:
    """The project as it was. Exits 1 with its findings if there are errors.

    It was reviewed in its time: only what keeps it from being read matters. Most of it is still in
    the new one, and is taken from there; not where findings must name the files of this side.
    """
    resolved, report = _read_old(side, environment, new)
    if report.has_errors:
        resolved, report = _read_old(side, environment, None)
        _give_up(side, resolved, report, "OLD")
    return resolved


def _read_old(side: _Side, environment: str, twin: Resolved | None) -> tuple[Resolved, Report]:
    assert side.root is not None
    with uncollected():
        project, report = load(side.root, environment, twin=twin.project if twin else None)
        resolved = resolve(project, twin)
    report.add(*resolved.findings)
    return resolved, report


def _give_up(side: _Side, resolved: Resolved, report: Report, which: str) -> NoReturn:
    named = Report([_named(f, side) for f in report.findings], report.files, report.metrics)
    click.echo(rendered("text", named, _documents(resolved, side)), nl=False)
    click.echo(f"{which} has errors: nothing was compared", err=True)
    raise click.exceptions.Exit(1)


def _named(finding: Diagnostic, side: _Side) -> Diagnostic:
    return finding._replace(span=finding.span._replace(file=_name(finding.span.file, side)))


def _documents(resolved: Resolved, side: _Side) -> Mapping[str, Document]:
    return {_name(file, side): document for file, document in resolved.project.documents.items()}


def _name(file: str, side: _Side) -> str:
    """The file as a user knows it: `main:specs/metrics/views.yaml`, as git would write it."""
    if side.base is None:
        return file
    return f"{side.label}:{place(Path(file)).relative_to(side.base)}"
