"""A file as a tree of values with the place of each beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

from pipelinekit.diagnostics import Diagnostic, Span

Path = tuple[str | int, ...]


class Scalar(NamedTuple):
    """`text` is what was written, without quotes; `is_plain`: it had none."""

    value: str | int | float | bool | None
    text: str
    is_plain: bool
    span: Span


class Items(NamedTuple):
    nodes: tuple[Node, ...]
    span: Span


class Entries(NamedTuple):
    """A mapping; `keys` has the place of each key. `is_flow`: written in braces."""

    nodes: dict[str, Node]
    keys: dict[str, Span]
    is_flow: bool
    span: Span


Node = Scalar | Items | Entries


class Document(NamedTuple):
    """One file. `root` is None where it could not be read; `findings` say why."""

    file: str
    text: str
    root: Entries | None
    findings: tuple[Diagnostic, ...] = ()

    def data(self) -> dict[str, Any]:
        """The values alone: dicts, lists and scalars."""
        value = plain(self.root) if self.root is not None else {}
        assert isinstance(value, dict)
        return value

    def node(self, path: Path) -> Node | None:
        """What stands at the path, or None."""
        node: Node | None = self.root
        for step in path:
            match node:
                case Entries(nodes=nodes) if step in nodes:
                    node = nodes[str(step)]
                case Items(nodes=items) if isinstance(step, int) and step < len(items):
                    node = items[step]
                case _:
                    return None
        return node

    def span(self, path: Path, *, key: bool = False) -> Span:
        """The place of the value at the path (of its key), or of its nearest parent there is."""
        for length in range(len(path), -1, -1):
            node = self.node(path[:length])
            if node is None:
                continue
            if length == len(path) and not key:
                return node.span
            if length < len(path) and isinstance(node, Scalar):
                return node.span
            if length == len(path) and length:
                parent = self.node(path[:-1])
                if isinstance(parent, Entries):
                    return parent.keys[str(path[-1])]
            return self._head(path[:length], node)
        return Span(self.file)

    def _head(self, path: Path, node: Node) -> Span:
        """Where a block that lacks something is named: its key, or its first line."""
        if path:
            parent = self.node(path[:-1])
            if isinstance(parent, Entries) and isinstance(path[-1], str):
                return parent.keys[path[-1]]
        span = node.span
        return Span(span.file, span.line, span.column, span.line, span.column + 1)


def plain(node: Node) -> Any:
    """A node's values without their places."""
    match node:
        case Scalar(value=value):
            return value
        case Items(nodes=items):
            return [plain(item) for item in items]
        case Entries(nodes=nodes):
            return {key: plain(value) for key, value in nodes.items()}


def dotted(path: Path) -> str:
    """`measures.views.filter`, `key[1].expr`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
