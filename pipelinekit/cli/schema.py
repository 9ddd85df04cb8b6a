"""`pipelinekit schema`: JSON Schemas for editors, from the models."""

from __future__ import annotations

import json

import click

from pipelinekit.spec.json_schema import KINDS, json_schema


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
def schema(kind: str) -> int:
    """Print the JSON Schema of a KIND of file, for completion and hints in an editor.

    In VS Code: "yaml.schemas": { "metric.schema.json": "specs/metrics/**/*.yaml" }
    """
    click.echo(json.dumps(json_schema(kind), indent=2, ensure_ascii=False))
    return 0
