"""Changes of a spec's text at the places of its values: all else stays as it was written.

An edit replaces a stretch of the text. Lists may be written in brackets or with dashes, mappings in
braces or as lines; what is added is written in braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelinekit.spec.document import Document, Entries, Items, Node, Path, Scalar

_LINE_MAX = 100
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|[0-9]+(?:ms|mo|[smhdw])", re.ASCII)
_WORDS = frozenset(("true", "false", "null"))


class CannotEdit(Exception):
    """The text is written in a way that a small change can't be made to."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The characters from `start` up to `end` become `text`."""

    start: int
    end: int
    text: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text after all edits, none of which may lie in another."""
    for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def flow(value: Any) -> str:
    """The value on one line of YAML, as the reader takes it back."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str() if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        case str():
            return f'"{"".join(map(_quoted, value))}"'
        case Mapping():
            return "{ " + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
        case _:
            return repr(value)


def _quoted(character: str) -> str:
    """The character in double quotes."""
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


class Places:
    """Where a document's values lie in its text, and the edits that change them."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._text = document.text
        self._newline = "\r\n" if "\r\n" in document.text else "\n"
        self._starts = [0, *(m.end() for m in re.finditer("\n", document.text))]

    def value(self, path: Path, value: Any) -> Edit:
        """The value at the path becomes `value`."""
        node = self._node(path)
        start = self._start(node)
        space = " " if self._text[:start].endswith(":") else ""
        return Edit(start, self._end(node), space + flow(value))

    def items(self, path: Path, removed: Sequence[int], added: Sequence[Any]) -> list[Edit]:
        """The list at the path loses the items of these places, and gets others at its end."""
        node = self._node(path)
        if not isinstance(node, Items):
            raise CannotEdit(f"{path[-1]} is no list")
        if self._is_flow(node):
            return self._flow_items(path, node, removed, added)
        lines = [self._item_lines(item) for item in node.nodes]
        edits = [Edit(*lines[place], "") for place in removed]
        if added:
            indent = self._indent(node.nodes[0])
            text = "".join(f"{indent}- {flow(item)}{self._newline}" for item in added)
            end = lines[-1][1]
            before = "" if self._text[:end].endswith("\n") else self._newline
            edits.append(Edit(end, end, before + text))
        elif len(removed) == len(node.nodes):
            after = self._after_colon(path)
            edits.append(Edit(after, after, " []"))
        return edits

    def _flow_items(
        self, path: Path, node: Items, removed: Sequence[int], added: Sequence[Any]
    ) -> list[Edit]:
        spans = [(self._start(item), self._end(item)) for item in node.nodes]
        kept = [place for place in range(len(spans)) if place not in removed]
        texts = [self._text[slice(*spans[place])] for place in kept] + [flow(a) for a in added]
        start, end = self._start(node), self._end(node)
        whole = f"[{', '.join(texts)}]"
        if "\n" not in self._text[start:end]:
            column = start - self._text.rfind("\n", 0, start) - 1
            rest = self._text[end : self._line_end(end)].strip()
            if column + len(whole) <= _LINE_MAX or rest:
                return [Edit(start, end, whole)]
            indent = " " * (self._key_column(path) + 1)
            block = "".join(f"{self._newline}{indent}- {text}" for text in texts)
            return [Edit(len(self._text[:start].rstrip(" ")), end, block)]
        if not kept:  # over several lines, and none of them stays
            return [Edit(start, end, whole)]
        # A comma may stand before the closing bracket, so what is said beside an item can stay.
        inner = [place for place in removed if place < kept[-1]]
        edits = [Edit(spans[place][0], spans[place + 1][0], "") for place in inner]
        more = ", ".join(map(flow, added))
        if kept[-1] + 1 == len(spans):
            end = spans[-1][1]
            return [*edits, Edit(end, end, f", {more}")] if added else edits
        start, end = spans[kept[-1] + 1][0], spans[-1][1]
        if self._text[end] == "," and not added:
            end += 1
        line = self._text.rfind("\n", 0, start) + 1
        is_alone = not (self._text[line:start] + self._text[end : self._line_end(end)]).strip()
        return [*edits, Edit(line - 1 if is_alone and not added else start, end, more)]

    # --- places in the text -----------------------------------------------------------------

    def _node(self, path: Path) -> Node:
        node = self._document.node(path)
        if node is None:
            raise CannotEdit("the value is written nowhere")
        return node

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column - 1

    def _start(self, node: Node) -> int:
        return self._offset(node.span.line, node.span.column)

    def _end(self, node: Node) -> int:
        """The end of what is written; a block's own span goes on to the next token."""
        match node:
            case Items(nodes=items) if items and not self._is_flow(node):
                return self._end(items[-1])
            case Entries(nodes=entries, is_flow=False) if entries:
                return self._end(list(entries.values())[-1])
            case Scalar(is_plain=False) if self._text[self._start(node)] in "|>":
                raise CannotEdit("a text over several lines stands here")
            case _:
                return self._offset(node.span.end_line, node.span.end_column)

    def _is_flow(self, node: Items) -> bool:
        return self._text[self._start(node)] == "["

    def _line_end(self, offset: int) -> int:
        end = self._text.find("\n", offset)
        return len(self._text) if end < 0 else end

    def _dash(self, item: Node) -> int:
        before = self._text[: self._start(item)].rstrip()
        if not before.endswith("-"):
            raise CannotEdit("the item's dash is not right before it")
        return len(before) - 1

    def _indent(self, item: Node) -> str:
        """What stands before the item's dash."""
        dash = self._dash(item)
        indent = self._text[self._text.rfind("\n", 0, dash) + 1 : dash]
        if indent.strip():
            raise CannotEdit("the item shares its line with another")
        return indent

    def _item_lines(self, item: Node) -> tuple[int, int]:
        """The whole lines of an item, from its dash to the line's end after it."""
        start = self._dash(item) - len(self._indent(item))
        end = self._line_end(self._end(item))
        return start, min(end + 1, len(self._text))

    def _key(self, path: Path) -> tuple[int, int]:
        """Where the key of the path's value starts and ends."""
        parent = self._document.node(path[:-1])
        if not isinstance(parent, Entries):
            raise CannotEdit("the list has no key of its own")
        span = parent.keys[str(path[-1])]
        return self._offset(span.line, span.column), self._offset(span.end_line, span.end_column)

    def _key_column(self, path: Path) -> int:
        start, _ = self._key(path)
        return start - self._text.rfind("\n", 0, start)

    def _after_colon(self, path: Path) -> int:
        _, end = self._key(path)
        return self._text.index(":", end) + 1
