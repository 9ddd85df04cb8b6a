"""`pipelinekit fmt`: spec files in one form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pipelinekit.cli.common import paths_argument
from pipelinekit.errors import UsageError
from pipelinekit.spec.formatting import NotFormatted, formatted_bytes
from pipelinekit.spec.layout import shown


@click.command()
@paths_argument
@click.option(
    "--check", "is_check", is_flag=True, help="Write nothing; exit 1 if a file would change."
)
def fmt(paths: tuple[Path, ...], is_check: bool) -> int:
    """Put the spec files in PATH into the form that all have.

    Keys come in the order of the reference, durations in their shortest spelling; spaces at the
    ends of lines and double empty lines go. Comments, quotes and line breaks stay, and no file is
    written that would say something else. A file that can't be read is named and left alone.
    """
    changed = failed = 0
    files = sorted({file for path in paths or (Path.cwd(),) for file in _files(path)})
    if not files:
        raise UsageError("no spec file is there", help="name a file or a folder of specs")
    for file in files:
        try:
            before = file.read_bytes()
            after = formatted_bytes(before, str(file))
        except NotFormatted as error:
            click.echo(f"{shown(file)}: left as it is: {error}", err=True)
            failed += 1
            continue
        except OSError as error:
            click.echo(f"{shown(file)}: it can't be read: {error.strerror}", err=True)
            failed += 1
            continue
        if after == before:
            continue
        changed += 1
        if not is_check:
            file.write_bytes(after)
        click.echo(f"{'would change' if is_check else 'changed'} {shown(file)}")
    click.echo(f"{len(files)} files, {changed} {'to change' if is_check else 'changed'}", err=True)
    return 1 if failed or (is_check and changed) else 0


def _files(path: Path) -> Iterator[Path]:
    """The spec files at a path; folders whose names begin with a dot are passed over."""
    if path.is_file():
        yield path
        return
    for found in path.rglob("*.yaml"):
        if not found.is_dir() and not any(
            part.startswith(".") for part in found.relative_to(path).parts
        ):
            yield found
