"""YAML text → a document, or findings.

Speaks the YAML 1.2 core schema over libyaml's events. What could surprise a reader is refused:
anchors, tags, merge keys, duplicate or non-string keys, several documents, `.inf`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelinekit.diagnostics import Diagnostic, Span
from pipelinekit.spec.decoding import decoded
from pipelinekit.spec.document import Document, Entries, Items, Node, Scalar

DEPTH_MAX = 32
NODES_MAX = 20_000

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OCTAL_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_COMMENT = re.compile(r"\s+#")
_DIGITS_MAX = 40
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def read(data: bytes, file: str) -> Document:
    """The file's document. Never raises: what is wrong is among its findings."""
    text, findings = decoded(data, file)
    if findings:
        return Document(file, text, None, findings)
    builder = _Builder(file)
    root = builder.build(text)
    return Document(file, text, root, tuple(builder.findings))


class _Stop(Exception):
    """Reading can't go on; the finding is noted."""


@dataclass(slots=True, eq=False)
class _Builder:
    file: str
    findings: list[Diagnostic] = field(default_factory=list)
    _nodes: int = 0
    _flows: int = 0  # how many braces and brackets are open
    _lines: list[str] = field(default_factory=list)

    def build(self, text: str) -> Entries | None:
        self._lines = [*text.split("\n"), ""]
        try:
            return self._document(iter(_events(text)))
        except _Stop:
            return None
        except _yaml_error() as error:
            self._syntax(error)
            return None

    def _document(self, events: Iterator[Any]) -> Entries | None:
        root: Node | None = None
        for event in events:
            name = type(event).__name__
            if name in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                continue
            if name == "DocumentStartEvent":
                if root is not None:
                    self._add(
                        "PK004",
                        "a second document starts here",
                        self._span(event),
                        "keep one document a file",
                    )
                    raise _Stop
                continue
            root = self._node(event, events, 1)
        if root is None or (isinstance(root, Scalar) and root.value is None):
            self._add("PK003", "the file is empty", Span(self.file), "start with kind: and name:")
            return None
        if not isinstance(root, Entries):
            self._add(
                "PK003",
                "the file is not a mapping of keys",
                root.span,
                "start with kind: and name:",
            )
            return None
        return root

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._add("PK002", f"the file has more than {NODES_MAX:,} values", self._span(event))
            raise _Stop
        if depth > DEPTH_MAX:
            self._add("PK002", f"nested more than {DEPTH_MAX} levels deep", self._span(event))
            raise _Stop
        name = type(event).__name__
        if name == "AliasEvent":
            self._add(
                "PK005",
                f"an alias (*{event.anchor}) is not taken here",
                self._span(event),
                "write the value out",
            )
            return Scalar(None, "", True, self._span(event))
        if event.anchor is not None:
            self._add(
                "PK005",
                f"an anchor (&{event.anchor}) is not taken here",
                self._span(event),
                "write values out where they are used",
            )
        if event.tag is not None:
            self._add(
                "PK006",
                f'a tag ("{event.tag}") is not taken here',
                self._span(event),
                "leave it out: keys have their types",
            )
        match name:
            case "ScalarEvent":
                return self._scalar(event)
            case "SequenceStartEvent":
                return self._items(event, events, depth)
            case _:
                return self._entries(event, events, depth)

    def _items(self, start: Any, events: Iterator[Any], depth: int) -> Items:
        nodes: list[Node] = []
        self._flows += bool(start.flow_style)
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                self._flows -= bool(start.flow_style)
                return Items(tuple(nodes), self._span(start, event))
            nodes.append(self._node(event, events, depth + 1))
        raise _Stop

    def _entries(self, start: Any, events: Iterator[Any], depth: int) -> Entries:
        nodes: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        self._flows += bool(start.flow_style)
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                self._flows -= bool(start.flow_style)
                span = self._span(start, event)
                return Entries(nodes, keys, bool(start.flow_style), span)
            key = self._key(event, events, depth)
            value = self._node(next(events), events, depth + 1)
            place = self._span(event)
            if key is None:
                continue
            if key in nodes:
                self._add(
                    "PK007",
                    f'the key "{key}" is there twice',
                    place,
                    f"the first one is in line {keys[key].line}; keep one",
                )
                continue
            nodes[key], keys[key] = value, place
            if start.flow_style:
                self._check_words(key, value, place)
        raise _Stop

    def _key(self, event: Any, events: Iterator[Any], depth: int) -> str | None:
        node = self._node(event, events, depth + 1)
        if isinstance(node, Scalar) and node.text == "<<" and node.is_plain:
            self._add(
                "PK005", "a merge key (<<) is not taken here", node.span, "write the keys out"
            )
            return None
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value
        shown = node.text if isinstance(node, Scalar) else "…"
        self._add(
            "PK008",
            f"the key {shown} is not a text",
            node.span,
            f'quote it: "{shown}"' if isinstance(node, Scalar) else "use a word as the key",
        )
        return None

    def _check_words(self, key: str, value: Node, place: Span) -> None:
        """`{ description: views, by country }` is read as a key `by country` without a value."""
        has_value = not (isinstance(value, Scalar) and value.value is None and value.text == "")
        if not has_value and re.search(r"\w\s+\w", key) and ")" not in key:
            self._add_comma(f'the comma before "{key}"', place)

    def _check_comma(self, text: str, event: Any) -> None:
        """`{ measure: sum(a, b) }` is read as a value `sum(a` and a key `b)`."""
        if not self._flows or text.count("(") <= text.count(")"):
            return
        mark = event.end_mark
        if cut := re.match(r"\s*,", self._lines[mark.line][mark.column :]):
            column = mark.column + cut.end()
            place = Span(self.file, mark.line + 1, column, mark.line + 1, column + 1)
            self._add_comma(f'the comma after "{text}"', place)

    def _add_comma(self, comma: str, place: Span) -> None:
        message = f"{comma} splits a value in braces or brackets"
        self._add("PK009", message, place, "put the whole value in double quotes")

    def _scalar(self, event: Any) -> Scalar:
        span = self._span(event)
        text: str = event.value
        if event.style in ("'", '"', "|", ">"):
            return Scalar(text, text, False, span)
        if _INFINITE.fullmatch(text):
            self._add("PK006", f"{text} is not a number here", span)
            return Scalar(None, text, True, span)
        self._check_comment(text, event)
        self._check_comma(text, event)
        value = _resolve(text)
        if value in (math.inf, -math.inf):
            self._add("PK006", f"{text} is beyond all numbers", span)
            value = None
        return Scalar(value, text, True, span)

    def _check_comment(self, text: str, event: Any) -> None:
        """`filter: path = '/a #b'` without quotes around it ends at the blank before `#`."""
        mark = event.end_mark
        if not _COMMENT.match(self._lines[mark.line], mark.column):
            return
        quotes = _APOSTROPHE.sub("", text).count("'") % 2 or text.count('"') % 2
        if quotes or text.count("(") > text.count(")"):
            place = Span(self.file, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 3)
            self._add(
                "PK010",
                'the " #" here cuts the value: the rest is a comment',
                place,
                "put the whole value in double quotes",
            )

    def _span(self, event: Any, last: Any = None) -> Span:
        start, end = event.start_mark, (last or event).end_mark
        return Span(self.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _add(self, code: str, message: str, span: Span, help: str | None = None) -> None:
        self.findings.append(Diagnostic(code, message, span, help))

    def _syntax(self, error: Any) -> None:
        if any(f.code == "PK009" for f in self.findings):
            return  # what follows a comma that splits a text is no YAML either
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        context = getattr(error, "context", None)
        line, column = self._place_of(error)
        help = None
        if "\t" in self._lines[line - 1][:column]:
            help = "indent with spaces: YAML takes no tabs"
        elif "mapping values" in problem:
            help = "put a value that holds a colon in quotes"
        elif "block" in (context or ""):
            help = "begin the keys of one mapping in one column; if they do, a quote ends too early"
        elif "did not find expected" in problem or "end of stream" in problem:
            help = "look for a bracket, brace or quote that isn't closed in this line or before"
        message = f"not YAML: {problem}{f' {context}' if context else ''}"
        place = Span(self.file, line, column, line, column + 1)
        self._add("PK001", message, place, help)

    def _place_of(self, error: Any) -> tuple[int, int]:
        """Where a reader would look: for what isn't closed its start, else where reading failed."""
        last = len("\n".join(self._lines).rstrip().split("\n"))
        for mark in (getattr(error, "problem_mark", None), getattr(error, "context_mark", None)):
            if mark is not None and mark.line < last:
                return mark.line + 1, mark.column + 1
        return last, len(self._lines[last - 1].rstrip()) + 1


def _resolve(text: str) -> str | int | float | bool | None:
    """A plain scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) <= _DIGITS_MAX else text
    if _OCTAL_HEX.fullmatch(text) and len(text) <= _DIGITS_MAX:
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _events(text: str) -> Iterator[Any]:
    from _ruamel_yaml import CParser  # of ruamel.yaml.clib: forty times faster than pure Python

    parser = CParser(text)
    while parser.check_event():
        yield parser.get_event()


def _yaml_error() -> type[Exception]:
    from ruamel.yaml.error import YAMLError

    error: type[Exception] = YAMLError
    return error
