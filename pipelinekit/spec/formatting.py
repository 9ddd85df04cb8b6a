"""A spec file in the form that all have: its keys in one order, its space tidy, its words kept.

Lines are moved and trimmed, never written anew, so that comments, quotes and the breaks inside
values stay as their author made them. A comment goes with the key below it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.decoding import decoded
from pipelinekit.spec.document import Document, Entries, Items, Node, Path, Scalar, plain
from pipelinekit.spec.edits import Edit, Places, edited
from pipelinekit.spec.models.metric import metric_model
from pipelinekit.spec.models.project import ProjectSpec
from pipelinekit.spec.models.sink import SINK_MODELS
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.models.testing import TestFileSpec
from pipelinekit.spec.models.values import Model
from pipelinekit.spec.reading import read
from pipelinekit.units import format_duration, parse_duration_ms

_MODELS: dict[str, type[Model]] = {
    "source": SourceSpec,
    "test": TestFileSpec,
    "project": ProjectSpec,
}
# The places of durations; `*` is any key or item.
_DURATIONS: tuple[Path, ...] = (
    *(("window", k) for k in ("tumbling", "sliding", "session", "cumulative", "every", "max")),
    ("window",), ("rollups", "*"), ("rollups", "*", "size"), ("lateness", "allowed"),
    ("emit", "*"), ("slo", "*"), ("event_time", "*"), ("defaults", "lateness", "allowed"),
    ("defaults", "emit", "*"),
)  # fmt: skip


class NotFormatted(Exception):
    """The file can't be put in form; says why."""


def formatted_bytes(data: bytes, file: str) -> bytes:
    """A file's bytes in form, as `formatted`."""
    text, findings = decoded(data, file)
    if findings:
        raise NotFormatted(_said(findings[0]))
    return formatted(text, file).encode()


def formatted(text: str, file: str) -> str:
    """The text in form; equal to it where it is already. Raises NotFormatted if it is no spec."""
    text = text.replace("\r\n", "\n")
    document = _document(text, file)
    assert document.root is not None
    keys = document.root.keys
    if document.root.is_flow or not keys:
        raise NotFormatted("it is not one key a line")
    tidy = _tidy(_in_order(text, document))
    again = _document(tidy, file)
    if _ordered(again.root) != _ordered(document.root):  # space inside a text of several lines
        tidy = _in_order(text, document)
        again = _document(tidy, file)
    if _ordered(again.root) != _ordered(document.root):
        raise NotFormatted("its keys can't be moved without a change of what they say")
    return edited(tidy, _durations(again))


def _document(text: str, file: str) -> Document:
    document = read(text.encode(), file)
    if document.root is None or document.findings:
        raise NotFormatted(_said(document.findings[0]) if document.findings else "it is empty")
    return document


def _said(finding: Diagnostic) -> str:
    help = f"; {finding.help}" if finding.help else ""
    return f"{finding.code} in line {finding.span.line}: {finding.message}{help}"


def _in_order(text: str, document: Document) -> str:
    """The text with its blocks, a key each with the comments above it, in the order of the kind."""
    assert document.root is not None
    lines = text.rstrip("\n").split("\n")
    names = list(document.root.keys)
    starts = [document.root.keys[name].line - 1 for name in names]
    if any(document.root.keys[name].column != 1 for name in names):
        return text
    floors = [-1, *starts]
    heads = [_head(lines, start, floor) for start, floor in zip(starts, floors, strict=False)]
    header = lines[: heads[0]]
    ends = [*heads[1:], len(lines)]
    blocks = {name: lines[head:end] for name, head, end in zip(names, heads, ends, strict=True)}
    order = _order(document.root)
    rank = {name: place for place, name in enumerate(order)}
    sorted_names = sorted(names, key=lambda n: rank.get(n, len(rank)))
    return "\n".join([*header, *(line for n in sorted_names for line in blocks[n])]) + "\n"


def _head(lines: list[str], start: int, floor: int) -> int:
    """Where the block of the key at `start` begins: with the comments that stand right above it."""
    head = start
    while head - 1 > floor and lines[head - 1].startswith("#"):
        head -= 1
    return head


def _order(root: Entries) -> list[str]:
    kind = root.nodes.get("kind")
    name = kind.value if isinstance(kind, Scalar) else "project"
    if name == "sink":
        of = root.nodes.get("type")
        sink = SINK_MODELS.get(str(of.value) if isinstance(of, Scalar) else "")
        own = ["kind", "name", "description", "owner", "type"]
        rest = [] if sink is None else [n for n in sink.model_fields if n not in own]
        return [*own, *(n for n in rest if n not in ("manage", "budget")), "manage", "budget"]
    model = metric_model(root.keys) if name == "metric" else _MODELS.get(str(name))
    return [] if model is None else [f.alias or n for n, f in model.model_fields.items()]


def _tidy(text: str) -> str:
    """No space at the ends of lines, no two empty lines together, one line end at the end."""
    kept: list[str] = []
    for line in (one.rstrip() for one in text.strip("\n").split("\n")):
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept) + "\n"


def _ordered(root: Node | None) -> object:
    """What the file says: order counts everywhere but among its own keys."""
    assert isinstance(root, Entries)
    return {name: _nested(node) for name, node in root.nodes.items()}


def _nested(node: Node) -> object:
    match node:
        case Entries(nodes=nodes):
            return [(key, _nested(value)) for key, value in nodes.items()]
        case Items(nodes=items):
            return [_nested(item) for item in items]
        case _:
            return plain(node)


def _durations(document: Document) -> Iterator[Edit]:
    """Durations in their shortest spelling: 60s is 1m."""
    places = Places(document)
    for pattern in _DURATIONS:
        for path, node in _at(document.root, pattern):
            if not isinstance(node.value, str) or not node.is_plain:
                continue
            try:
                short = format_duration(parse_duration_ms(node.text))
            except ValueError:
                continue
            if len(short) < len(node.text):
                yield places.value(path, short)


def _at(node: Node | None, pattern: Path) -> Iterator[tuple[Path, Scalar]]:
    """The single values at the places that the pattern names."""
    if not pattern:
        if isinstance(node, Scalar):
            yield (), node
        return
    step, rest = pattern[0], pattern[1:]
    inner: list[tuple[str | int, Node]] = []
    match node:
        case Entries(nodes=nodes):
            inner = [(key, value) for key, value in nodes.items() if step in ("*", key)]
        case Items(nodes=items) if step == "*":
            inner = list(enumerate(items))
    for key, value in inner:
        yield from (((key, *path), found) for path, found in _at(value, rest))
