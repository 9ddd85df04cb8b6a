"""Files from `templates/`, filled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelinekit.errors import Bug

_PACKAGE = Path(__file__).parents[1]


def render(template: str, /, **values: Any) -> str:
    """The template of that path under `templates/` with its values; none may be missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_folder()),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # YAML and JSON, not HTML
    )
    return environment.get_template(template).render(**values)


def plain(template: str) -> str:
    """The template of that path as it stands, for files whose own braces mean something."""
    return (_folder() / template).read_text(encoding="utf-8")


def _folder() -> Path:
    """In a wheel beside the code, in a checkout at its root."""
    for folder in (_PACKAGE / "templates", _PACKAGE.parent / "templates"):
        if folder.is_dir():
            return folder
    raise Bug("the folder templates/ is missing from this installation")
