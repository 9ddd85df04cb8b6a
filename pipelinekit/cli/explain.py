"""`pipelinekit explain`: the page of a finding's code."""

from __future__ import annotations

import difflib

import click

from pipelinekit.errors import UsageError
from pipelinekit.spec.findings import page_text, pages


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> int:
    """Explain the finding CODE: what it is, why it hurts, a bad and a good example.

    Without a code, lists them all.
    """
    known = pages()
    if code is None:
        for page in known.values():
            click.echo(f"{page.code}  {page.title}")
        return 0
    found = known.get(code.upper())
    if found is None:
        close = difflib.get_close_matches(code.upper(), known, n=1)
        help = f"did you mean {close[0]}?" if close else "list them all with `pipelinekit explain`"
        raise UsageError(f'there is no finding "{code}"', help=help)
    click.echo(page_text(found), nl=False)
    return 0
