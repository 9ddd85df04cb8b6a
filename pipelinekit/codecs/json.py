"""JSON messages, one by one, into typed columns.

Each message is parsed on its own by msgspec into a struct of just the fields in use (all others
are skipped), never joined with its neighbours: a truncated message can't swallow the next one.
What a struct's types don't check is checked here on columns, and only when a column needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelinekit.codecs.base import Decoded, FieldSpec, RefusedRow
from pipelinekit.codecs.json_fields import (
    ColumnReader,
    attribute_name,
    column_reader,
    wire_type,
)
from pipelinekit.data import Headers

if TYPE_CHECKING:
    import msgspec
    import polars as pl


_DETAIL_CHARACTERS_MAX = 300
# Parsed and taken apart so many at a time: the structs are still in the processor's cache then.
_CHUNK = 500


class JsonDecoder:
    """Decodes the given fields; `event_time` names the one (a timestamp) that times the event."""

    def __init__(self, fields: Sequence[FieldSpec], event_time: str) -> None:
        import msgspec

        self._event_time = event_time
        self._struct = _struct_of(tuple(f for f in fields if f.header is None))
        self._decode = msgspec.json.Decoder(self._struct).decode
        self._readers: list[ColumnReader] = [column_reader(f) for f in fields]

    def decode(self, values: Sequence[bytes | None], headers: Sequence[Headers]) -> Decoded:
        """Columns of the good messages and the refused ones with their reasons."""
        import numpy as np
        import polars as pl

        columns: list[list[Any]] = [[] for _ in self._readers]
        refused: list[RefusedRow] = []
        for start in range(0, len(values), _CHUNK):
            rows, bad = self._parse(values[start : start + _CHUNK], start)
            refused += bad
            for column, reader in zip(columns, self._readers, strict=True):
                if reader.header is None:
                    column += reader.extract(rows)
        places: Sequence[int] = range(len(values))
        if refused:
            gone = {r.index for r in refused}
            places = [i for i in places if i not in gone]
        for column, reader in zip(columns, self._readers, strict=True):
            if reader.header is not None:
                column += reader.extract([headers[i] for i in places])
        series, failures = self._series(columns)
        if failures:  # rows that a column refused go, and the rest is converted again
            refused += [RefusedRow(places[i], detail) for i, detail in failures.items()]
            places = [place for i, place in enumerate(places) if i not in failures]
            kept = [[v for i, v in enumerate(c) if i not in failures] for c in columns]
            series, _ = self._series(kept)
        frame = pl.DataFrame(series)
        times = frame[self._event_time].to_physical().to_numpy().astype(np.int64, copy=False)
        return Decoded(
            frame=frame,
            event_times_ms=times,
            indices=np.asarray(places, dtype=np.int64) if refused else None,
            refused=tuple(sorted(refused, key=lambda r: r.index)),
        )

    def _parse(
        self, values: Sequence[bytes | None], start: int
    ) -> tuple[list[Any], list[RefusedRow]]:
        decode = self._decode
        try:
            if all(map(bytes.isascii, values)):  # type: ignore[arg-type]
                return list(map(decode, values)), []  # type: ignore[arg-type]
        except Exception:
            pass  # some message is bad: find out which, one at a time
        rows: list[Any] = []
        refused: list[RefusedRow] = []
        for index, value in enumerate(values, start):
            try:
                if value is None:
                    raise ValueError("a tombstone: the message has no value")
                if not value.isascii():
                    value.decode("utf-8")  # msgspec doesn't look into fields that it skips
                rows.append(decode(value))
            except RecursionError:
                refused.append(RefusedRow(index, "nested too deeply"))
            except Exception as error:
                refused.append(RefusedRow(index, str(error)[:_DETAIL_CHARACTERS_MAX]))
        return rows, refused

    def _series(self, columns: Sequence[list[Any]]) -> tuple[list[pl.Series], dict[int, str]]:
        failures: dict[int, str] = {}
        series = []
        for reader, values in zip(self._readers, columns, strict=True):
            column = reader.column(values)
            for row, detail in column.failures.items():
                failures.setdefault(row, detail[:_DETAIL_CHARACTERS_MAX])
            series.append(column.series)
        return series, failures


@lru_cache(maxsize=64)
def _struct_of(fields: tuple[FieldSpec, ...]) -> type[msgspec.Struct]:
    """A struct that mirrors the paths of the fields; nested objects are structs in it."""
    tree: dict[str, Any] = {}
    for field in fields:
        for path in field.paths:
            node = tree
            for step in path[:-1]:
                node = node.setdefault(step, {})
                if not isinstance(node, dict):
                    raise ValueError(f'"{step}" is a value for one field, an object for another')
            held = node.setdefault(path[-1], field)
            if isinstance(held, dict) or wire_type(held) != wire_type(field):
                raise ValueError(f'"{path[-1]}" is read as two different types')
    return _node("Event", tree)


def _node(name: str, tree: dict[str, Any]) -> type[msgspec.Struct]:
    import msgspec

    definitions: list[tuple[str, Any, Any]] = []
    renames: dict[str, str] = {}
    for step, child in tree.items():
        attribute = attribute_name(step)
        renames[attribute] = step
        inner = _node(name + "_", child) if isinstance(child, dict) else wire_type(child)
        if inner is msgspec.Raw:  # has no union with None: null is its text
            definitions.append((attribute, inner, msgspec.Raw(b"null")))
        else:
            definitions.append((attribute, inner | None, None))
    rename: Callable[[str], str] = renames.__getitem__
    return msgspec.defstruct(name, definitions, rename=rename, gc=False, kw_only=True)


def decoder(fields: Sequence[FieldSpec], event_time: str) -> JsonDecoder:
    """A decoder of JSON objects into columns."""
    return JsonDecoder(fields, event_time)
