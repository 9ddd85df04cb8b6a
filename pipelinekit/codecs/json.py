"""JSON messages, one by one, into typed columns.

Each message is parsed on its own by msgspec into a struct of just the fields in use (all others
are skipped), never joined with its neighbours: a truncated message can't swallow the next one.
What a struct's types don't check is checked here on columns, and only when a column needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from pipelinekit.codecs.base import Decoded, FieldSpec, RefusedRow
from pipelinekit.codecs.json_fields import (
    attribute_name,
    column_reader,
    is_checked_by_parsing,
    wire_type,
)
from pipelinekit.data import Headers

if TYPE_CHECKING:
    import msgspec
    import polars as pl


_DETAIL_CHARACTERS_MAX = 300
# Parsed and taken apart so many at a time: the structs are still in the processor's cache then.
_PARSED_AT_ONCE = 500
# And their values so many at a time, before those have left it: a column of 50,000 texts took
# half as long again. Fewer, and each call of polars costs more than that.
_COLUMNS_AT_ONCE = 2_000


class JsonDecoder:
    """Decodes the given fields; see `Decoder` in base.py."""

    def __init__(
        self, fields: Sequence[FieldSpec], event_time: str, wanted: Collection[str] | None = None
    ) -> None:
        import msgspec

        self._event_time = event_time
        in_body = tuple(f for f in fields if f.header is None)
        unread: tuple[FieldSpec, ...] = ()
        if wanted is not None:
            kept = {*wanted, event_time}
            unread = tuple(f for f in in_body if f.name not in kept and is_checked_by_parsing(f))
        self._decode = msgspec.json.Decoder(_struct_of(in_body, unread)).decode
        self._decode_unchecked = msgspec.json.Decoder(_struct_of(in_body)).decode
        self._unread = [column_reader(f) for f in unread]
        self._readers = [column_reader(f) for f in fields if f not in unread]

    def decode(self, values: Sequence[bytes | None], headers: Sequence[Headers]) -> Decoded:
        """Columns of the good messages and the refused ones with their reasons."""
        import numpy as np
        import polars as pl

        parts: list[pl.DataFrame] = []
        places: list[range | list[int]] = []
        refused: list[RefusedRow] = []
        for start in range(0, max(len(values), 1), _COLUMNS_AT_ONCE):
            part = slice(start, start + _COLUMNS_AT_ONCE)
            frame, good, bad = self._part(values[part], headers[part], start)
            parts.append(frame)
            places.append(good)
            refused += bad
        frame = pl.concat(parts, rechunk=True) if len(parts) > 1 else parts[0]
        times = frame[self._event_time].to_physical().to_numpy().astype(np.int64, copy=False)
        return Decoded(
            frame=frame,
            event_times_ms=times,
            indices=np.fromiter(chain(*places), np.int64, frame.height) if refused else None,
            refused=tuple(sorted(refused, key=lambda r: r.index)),
        )

    def _part(
        self, values: Sequence[bytes | None], headers: Sequence[Headers], start: int
    ) -> tuple[pl.DataFrame, range | list[int], list[RefusedRow]]:
        """Columns, the places of their rows, and the refused, counted from `start`."""
        import polars as pl

        columns: list[list[Any]] = [[] for _ in self._readers]
        refused: list[RefusedRow] = []
        for at in range(0, len(values), _PARSED_AT_ONCE):
            rows, bad = self._parse(values[at : at + _PARSED_AT_ONCE], start + at)
            refused += bad
            for column, reader in zip(columns, self._readers, strict=True):
                if reader.header is None:
                    column += reader.extract(rows)
        places: range | list[int] = range(start, start + len(values))
        if refused:
            gone = {r.index for r in refused}
            places = [i for i in places if i not in gone]
        for column, reader in zip(columns, self._readers, strict=True):
            if reader.header is not None:
                column += reader.extract([headers[i - start] for i in places])
        series, failures = self._series(columns)
        if failures:  # rows that a column refused go, and the rest is converted again
            refused += [RefusedRow(places[i], detail) for i, detail in failures.items()]
            places = [place for i, place in enumerate(places) if i not in failures]
            kept = [[v for i, v in enumerate(c) if i not in failures] for c in columns]
            series, _ = self._series(kept)
        return pl.DataFrame(series), places, refused

    def _parse(
        self, values: Sequence[bytes | None], start: int
    ) -> tuple[list[Any], list[RefusedRow]]:
        try:
            is_plain = all(map(bytes.isascii, values))  # type: ignore[arg-type]
        except TypeError:  # a tombstone
            is_plain = False
        decode: Callable[[Any], Any] = self._decode if is_plain else self._decode_any
        rows: list[Any] = []
        refused: list[RefusedRow] = []
        left = iter(values)
        while True:
            try:
                rows.extend(map(decode, left))  # what came before an error stays
                return rows, refused
            except Exception as error:
                place = len(rows) + len(refused)
                detail = self._reason(values[place], error)[:_DETAIL_CHARACTERS_MAX]
                refused.append(RefusedRow(start + place, detail))

    def _decode_any(self, value: bytes | None) -> Any:
        if value is None:
            raise ValueError("a tombstone: the message has no value")
        if not value.isascii():
            value.decode("utf-8")  # msgspec doesn't look into fields that it skips
        return self._decode(value)

    def _reason(self, value: bytes | None, error: Exception) -> str:
        """Why the message is refused, in the same words whether the field is read or not."""
        if isinstance(error, RecursionError):
            return "nested too deeply"
        try:
            row = self._decode_unchecked(value)  # type: ignore[arg-type]
        except Exception:
            return str(error)
        lacking = (r for r in self._unread if r.spec.is_required and r.extract([row]) == [None])
        reader = next(lacking, None)
        return str(error) if reader is None else reader.missing

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
def _struct_of(
    fields: tuple[FieldSpec, ...], checked: tuple[FieldSpec, ...] = ()
) -> type[msgspec.Struct]:
    """A struct that mirrors the paths of the fields; nested objects are structs in it.

    All may be missing or null but those of `checked` that are required.
    """
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
    return _node("Event", tree, frozenset(f.paths[0][0] for f in checked if f.is_required))


def _node(name: str, tree: dict[str, Any], required: Collection[str] = ()) -> type[msgspec.Struct]:
    import msgspec

    definitions: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    renames: dict[str, str] = {}
    for step, child in tree.items():
        attribute = attribute_name(step)
        renames[attribute] = step
        inner: Any = _node(name + "_", child) if isinstance(child, dict) else wire_type(child)
        if step in required:
            definitions.append((attribute, inner))
        elif inner is msgspec.Raw:  # has no union with None: null is its text
            definitions.append((attribute, inner, msgspec.Raw(b"null")))
        else:
            definitions.append((attribute, inner | None, None))
    rename: Callable[[str], str] = renames.__getitem__
    return msgspec.defstruct(name, definitions, rename=rename, gc=False, kw_only=True)


def decoder(
    fields: Sequence[FieldSpec], event_time: str, wanted: Collection[str] | None = None
) -> JsonDecoder:
    """A decoder of JSON objects into columns."""
    return JsonDecoder(fields, event_time, wanted)
