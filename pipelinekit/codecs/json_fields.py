"""How each field type is read from decoded JSON: its wire type, and its column from the rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.columns import polars_type
from pipelinekit.types import Kind, Type
from pipelinekit.units import TIME_MAX_MS, TIME_MIN_MS

if TYPE_CHECKING:
    import polars as pl

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DECIMAL_TEXT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,4})?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_QUOTED_MAX = 80
_FEW = 32
_OUTSIDE = "lies outside the years 1900 to 2299"


@dataclass(frozen=True, slots=True, eq=False)
class ColumnResult:
    """A column as long as the rows, and the rows (by place) that must be refused, with why."""

    series: pl.Series
    failures: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReader:
    """Reads one field of all rows; rows are structs, or header lists when `header` is set."""

    spec: FieldSpec
    extract: Callable[[Sequence[Any]], list[Any]]

    @property
    def header(self) -> str | None:
        return self.spec.header

    def column(self, values: list[Any]) -> ColumnResult:
        """The column of the values that `extract` gave, with defaults filled in."""
        result = _convert(self.spec, values)
        if self.spec.optional or not result.series.null_count():
            return result
        if self.spec.default is not None:
            filled = result.series.fill_null(_default(self.spec))
            return ColumnResult(filled, result.failures)
        missing = result.series.is_null().arg_true().to_list()
        failures = dict.fromkeys(missing, self.missing)
        return ColumnResult(result.series, failures | result.failures)

    @property
    def missing(self) -> str:
        """What is said of a message without the field."""
        return f'field "{self.spec.name}" is missing at {_where(self.spec)}'


def attribute_name(step: str) -> str:
    """A Python identifier for any JSON key, the same each time and different for each key."""
    return "f_" + step.encode("utf-8", "surrogatepass").hex()


def is_checked_by_parsing(spec: FieldSpec) -> bool:
    """Whether a struct alone can refuse all that the field's column would."""
    if spec.type.kind not in (Kind.STRING, Kind.BOOL, Kind.FLOAT):
        return False
    return not spec.is_required or [len(path) for path in spec.paths] == [1]


def wire_type(spec: FieldSpec) -> Any:
    """What msgspec reads the field as; what is left to check is checked on the column."""
    import msgspec

    if spec.header is not None:
        raise ValueError(f'field "{spec.name}" is read from a header, not from the message')
    match spec.type.kind:
        case Kind.DECIMAL:
            return msgspec.Raw  # the number's own text: exact, and cheaper than Decimal objects
        case Kind.LIST:
            assert spec.type.item is not None
            return list[_wire_scalar(spec.type.item)]  # type: ignore[misc]
        case _:
            return _wire_scalar(spec.type)


@lru_cache(maxsize=512)
def column_reader(spec: FieldSpec) -> ColumnReader:
    """A reader of the field's column; made once: it is compiled."""
    if spec.header is not None:
        return ColumnReader(spec, _header_extractor(spec.header))
    return ColumnReader(spec, _path_extractor(spec))


def _wire_scalar(kind: Type) -> Any:
    match kind.kind:
        case Kind.STRING | Kind.DATE:
            return str
        case Kind.BOOL:
            return bool
        case Kind.INT:
            return int
        case Kind.FLOAT:
            return float
        case Kind.TIMESTAMP:
            return int | str
        case Kind.DECIMAL:
            return Decimal
        case Kind.LIST:
            raise ValueError("a list of lists is not a type")


def _path_extractor(spec: FieldSpec) -> Callable[[Sequence[Any]], list[Any]]:
    """A list comprehension made for the paths: it costs half of a generic loop.

    Only names from `attribute_name` (letters, digits, underscore) enter the source text.
    """
    text = "None"
    null = "null" if spec.type.kind is Kind.DECIMAL else "None"
    for number, path in reversed(list(enumerate(spec.paths))):
        names = [attribute_name(step) for step in path]
        value = f"row.{names[0]}"
        for depth, name in enumerate(names[1:]):
            held = f"v{number}_{depth}"
            value = f"(None if ({held} := {value}) is None else {held}.{name})"
        if number == len(spec.paths) - 1:
            text = value
        else:
            text = f"(v{number} if (v{number} := {value}) is not {null} else {text})"
    if spec.type.kind is Kind.DECIMAL and len(spec.paths) > 1:
        # Raw values are never None: compare their bytes instead.
        return _raw_extractor(spec)
    code = compile(f"lambda rows: [{text} for row in rows]", f"<field {spec.name!r}>", "eval")
    extract: Callable[[Sequence[Any]], list[Any]] = eval(code)
    return extract


def _raw_extractor(spec: FieldSpec) -> Callable[[Sequence[Any]], list[Any]]:
    paths = [[attribute_name(step) for step in path] for path in spec.paths]

    def first(row: Any) -> Any:
        for path in paths:
            value = row
            for name in path:
                value = None if value is None else getattr(value, name)
            if value is not None and bytes(value) != b"null":
                return value
        return None

    return lambda rows: [first(row) for row in rows]


def _header_extractor(header: str) -> Callable[[Sequence[Any]], list[Any]]:
    def last(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
        found = None
        for name, value in headers or ():
            if name == header:
                found = value
        return found

    return lambda rows: [last(row) for row in rows]


def _convert(spec: FieldSpec, values: list[Any]) -> ColumnResult:
    if spec.header is not None:
        return _by_value(spec, values, _from_header)
    match spec.type.kind:
        case Kind.STRING | Kind.BOOL | Kind.FLOAT:
            return ColumnResult(_series(spec, values))
        case Kind.INT:
            return _ints(spec, values)
        case Kind.DECIMAL:
            return _decimals(spec, values)
        case Kind.TIMESTAMP:
            return _timestamps(spec, values)
        case _:
            return _by_value(spec, values, _from_json)


def _series(spec: FieldSpec, values: Sequence[Any]) -> pl.Series:
    import polars as pl

    return pl.Series(spec.name, values, dtype=polars_type(spec.type))


def _ints(spec: FieldSpec, values: list[Any]) -> ColumnResult:
    try:
        return ColumnResult(_series(spec, values))
    except (TypeError, OverflowError):  # beyond 64 bits, somewhere
        return _by_value(spec, values, _from_json)


def _decimals(spec: FieldSpec, values: list[Any]) -> ColumnResult:
    import polars as pl

    texts = [None if v is None else bytes(v) for v in values]
    if len(texts) <= _FEW:  # each call of polars costs as much as some dozen values
        plain_texts = [None if t is None or t == b"null" else t.decode() for t in texts]
        return _by_value(spec, [t and t.strip('"') for t in plain_texts], _decimal)
    series = pl.Series(spec.name, texts, dtype=pl.Binary).cast(pl.String)
    series = series.set(series == "null", None)
    digits = spec.type.precision - spec.type.scale
    fraction = rf"(\.\d{{1,{spec.type.scale}}})?" if spec.type.scale else ""
    plain = rf'^"?-?\d{{1,{digits}}}{fraction}"?$' if digits else rf'^"?-?0{fraction}"?$'
    if series.str.contains(plain).all(ignore_nulls=True):
        bare = series.str.strip_chars('"')
        return ColumnResult(bare.cast(polars_type(spec.type)))
    decoded = [None if text is None else text.strip('"') for text in series.to_list()]
    return _by_value(spec, decoded, _decimal)


def _timestamps(spec: FieldSpec, values: list[Any]) -> ColumnResult:
    import polars as pl

    try:
        numbers = pl.Series(spec.name, values, dtype=pl.Int64)
    except (TypeError, OverflowError):  # texts among them
        return _by_value(spec, values, _from_json)
    # Least and greatest, not a mask: a Series' comparisons are whole queries of polars.
    for value in (numbers.min(), numbers.max()):
        try:
            if isinstance(value, int):
                _time(spec.unit, value)
        except ValueError:
            return _by_value(spec, values, _from_json)
    match spec.unit:
        case "s":
            numbers = numbers * 1000
        case "us":
            numbers = numbers // 1000
        case _:
            pass
    return ColumnResult(numbers.cast(pl.Datetime("ms", "UTC")))


def _by_value(
    spec: FieldSpec, values: Sequence[Any], convert: Callable[[FieldSpec, Any], Any]
) -> ColumnResult:
    """Value by value: for types that need it, and to find out which of a column is bad."""
    converted: list[Any] = []
    failures: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(spec, value))
        except (ValueError, OverflowError) as error:
            converted.append(None)
            failures[row] = f'field "{spec.name}" at {_where(spec)}: {error}'
    return ColumnResult(_series(spec, converted), failures)


def _from_json(spec: FieldSpec, value: Any) -> Any:
    if spec.type.kind is Kind.LIST:
        assert spec.type.item is not None
        return [_scalar(spec.type.item, spec.unit, item) for item in value]
    return _scalar(spec.type, spec.unit, value)


def _from_header(spec: FieldSpec, value: bytes) -> Any:
    text = value.decode("utf-8")
    match spec.type.kind:
        case Kind.STRING:
            return text
        case Kind.BOOL if text in ("true", "false"):
            return text == "true"
        case Kind.INT if re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
            return _scalar(spec.type, spec.unit, int(text))
        case Kind.FLOAT if _DECIMAL_TEXT.fullmatch(text):
            return float(text)
        case Kind.DECIMAL:
            return _decimal(spec, text)
        case Kind.TIMESTAMP if re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
            return _scalar(spec.type, spec.unit, int(text))
        case Kind.TIMESTAMP | Kind.DATE:
            return _scalar(spec.type, spec.unit, text)
        case _:
            raise ValueError(f"{_quoted(text)} is not of type {spec.type}")


def _scalar(kind: Type, unit: str, value: Any) -> Any:
    match kind.kind:
        case Kind.INT:
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{_quoted(value)} does not fit 64 bits")
            return value
        case Kind.TIMESTAMP:
            return _time(unit, value)
        case Kind.DATE:
            if not _DATE.fullmatch(value):
                raise ValueError(f"{_quoted(value)} is not a date such as 2024-01-31")
            return dt.date.fromisoformat(value)
        case Kind.DECIMAL:
            return _fitted(kind, value)
        case _:
            return value


def _time(unit: str, value: int | str) -> dt.datetime:
    """The instant, cut to the millisecond."""
    if isinstance(value, int):
        ms = {"s": value * 1000, "ms": value, "us": value // 1000}[unit]
        if not TIME_MIN_MS <= ms <= TIME_MAX_MS:
            raise ValueError(f"{_quoted(value)} {unit} {_OUTSIDE}")
        return _EPOCH + dt.timedelta(milliseconds=ms)
    found = _RFC3339.fullmatch(value)
    if not found:
        raise ValueError(
            f"{_quoted(value)} is not a time such as 2024-01-31T12:00:00Z (RFC 3339, with offset)"
        )
    day, time, fraction, offset = found.groups()
    millis = (fraction or "0")[:3].ljust(3, "0")
    zone = "+00:00" if offset in "Zz" else offset
    instant = dt.datetime.fromisoformat(f"{day}T{time}.{millis}{zone}").astimezone(dt.UTC)
    if not TIME_MIN_MS <= (instant - _EPOCH) // dt.timedelta(milliseconds=1) <= TIME_MAX_MS:
        raise ValueError(f"{_quoted(value)} {_OUTSIDE}")
    return instant


def _decimal(spec: FieldSpec, text: str) -> Decimal:
    if not _DECIMAL_TEXT.fullmatch(text):
        raise ValueError(f"{_quoted(text)} is not a decimal number")
    try:
        return _fitted(spec.type, Decimal(text))
    except InvalidOperation:
        raise ValueError(f"{_quoted(text)} is not a decimal number") from None


def _fitted(kind: Type, value: Decimal) -> Decimal:
    """The value, or ValueError where the type can't hold all its digits."""
    if not value.is_finite():
        raise ValueError(f"{_quoted(value)} is not a decimal number")
    text = "".join(map(str, value.as_tuple().digits))
    digits = text.lstrip("0").rstrip("0")  # not normalize(): that rounds to 28 digits
    exponent = int(value.as_tuple().exponent) + len(text) - len(text.rstrip("0"))
    if digits and -exponent > kind.scale:
        raise ValueError(f"{_quoted(value)} has more than {kind.scale} digits after the point")
    if digits and len(digits) + exponent > kind.precision - kind.scale:
        raise ValueError(f"{_quoted(value)} has too many digits for {kind}")
    if not digits:
        return Decimal(0)
    # Without the zeros at its end: polars refuses a number that is written with many of them.
    return Decimal((value.as_tuple().sign, tuple(map(int, digits)), exponent))


def _default(spec: FieldSpec) -> Any:
    if spec.type.kind is Kind.DECIMAL:
        return Decimal(str(spec.default))
    if spec.type.kind in (Kind.TIMESTAMP, Kind.DATE):
        return _scalar(spec.type, spec.unit, spec.default)
    return float(spec.default) if spec.type.kind is Kind.FLOAT else spec.default  # type: ignore[arg-type]


def _where(spec: FieldSpec) -> str:
    if spec.header is not None:
        return f'header "{spec.header}"'
    return " or ".join("$." + ".".join(path) for path in spec.paths)


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text[:_QUOTED_MAX]}…"' if len(text) > _QUOTED_MAX else f'"{text}"'
