"""Every code of a finding with its page: what it is, why it hurts, a bad and a good example.

The pages lie in findings.yaml beside this file. Tests lay each example over a project that is
fine: the bad one gives the code, the good one doesn't; and each code that the source text names
has its page.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pipelinekit.spec.reading import read

METRIC_FILE = "metrics/views.yaml"
_FILE = "findings.yaml"


@dataclass(frozen=True, slots=True)
class Page:
    """One code's page. `bad` and `good` are the keys of a file that matter, or `is_whole` files.

    `file` is the one they stand in, `good_file` the one of the good example if it is another.
    `before` is what stood there earlier: findings of `diff` are about a change.
    A `warning` may be silenced by a comment, an `error` may not.
    """

    code: str
    title: str
    why: str
    bad: str
    good: str
    file: str = METRIC_FILE
    good_file: str | None = None
    is_whole: bool = False
    before: str | None = None
    severity: str = "error"


@cache
def pages() -> dict[str, Page]:
    """All pages by code, in order."""
    document = read(files("pipelinekit.spec").joinpath(_FILE).read_bytes(), _FILE)
    return {code: Page(code, **page) for code, page in document.data().items()}


def page_text(page: Page) -> str:
    """The page as `explain` prints it."""
    bad = _example(page.bad, page.file)
    good = _example(page.good, page.good_file or page.file)
    before = ""
    if page.before is not None:
        before = f"Before:\n\n{_example(page.before, page.file)}\n\n"
    head = f"{page.code}: {page.title}\n\n{page.why}\n\n{before}"
    return f"{head}Not so:\n\n{bad}\n\nBut so:\n\n{good}\n{silenced(page)}"


def silenced(page: Page) -> str:
    """How the finding is silenced where it is meant; empty for those that can't be."""
    if page.severity != "warning" or page.code.startswith("PK06"):
        return ""
    comment = f"# pipelinekit: ignore {page.code} because REASON"
    return f"\nWhere it is meant, say so at the line's end or on the line above:\n\n    {comment}\n"


def _example(text: str, file: str) -> str:
    head = [] if file == METRIC_FILE else [f"# {file}"]
    return "\n".join(f"    {_seen(line)}" for line in [*head, *text.split("\n")])


def _seen(line: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in line)
