"""Random expressions as text, by type, and random rows of the fields they read."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import cache

from hypothesis import strategies as st

from pipelinekit.types import Kind
from tests.spec.expressions.fields import FIELDS
from tests.spec.expressions.naive import Value

_ALPHABET = "abAB0%_. \n'\\ßéÉİ🦊/-"
_ZONES = ("UTC", "Europe/Brussels", "America/New_York", "Asia/Kolkata")
_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_PARTS = ("year", "quarter", "month", "week", "day", "weekday", "hour", "minute", "second")
_PATTERNS = (
    *("^a", "[aA]b?$", "[0-9]+", r"\d", r"\w+", "(?i)AB", "a.b", "(?s)a.b", "^$", r"\s", "é|ß"),
    *("(a|b)+", "(?:a)(.)", "[^a-b]", r"[\d_%]", "b{1,2}", "a*?b", r"\.", r"(a)|(b)", r"\bab\b"),
)
_TIMES = st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2040, 1, 1))
_SHIFTS = st.datetimes(dt.datetime(2024, 10, 26, 20), dt.datetime(2024, 10, 27, 6))
_INTS = st.one_of(
    st.integers(-20, 20),
    st.integers(-(10**6), 10**6),
    st.sampled_from((-(2**63), 2**63 - 1, 2**62, -(2**62))),
)
_FLOATS = st.one_of(
    st.integers(-40, 40).map(lambda n: n / 4),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.sampled_from((1.7e308, -1.7e308, 0.0, 1e-300)),
)


def _texts(size: int = 8) -> st.SearchStrategy[str]:
    return st.text(_ALPHABET, max_size=size)


def _decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    whole = st.one_of(st.integers(-300, 300), st.integers(-most, most))
    return whole.map(lambda n: Decimal(f"{n}e-{scale}"))  # exact, whatever the context


def _to_ms(time: dt.datetime) -> dt.datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=dt.UTC)


_TEXT_NUMBERS = st.sampled_from(
    ("7", "-12", "007", "1.5", "-0.25", "1e3", "+1", "9223372036854775808", "true", "false", " 1")
)
_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "country": _texts(),
    "device": st.sampled_from(("desktop", "mobile", "", "Ünï", "https://a.be/x/y?q#f")),
    "event_type": st.one_of(_TEXT_NUMBERS, _texts(3)),
    "is_bot": st.booleans(),
    "is_new": st.booleans(),
    "load_ms": _INTS,
    "bytes": st.integers(-5, 5),
    "score": _FLOATS,
    "ratio": st.sampled_from((0.0, 0.5, -1.5, 2.5)),
    "amount": _decimals(12, 2),
    "tax": _decimals(6, 4),
    "total": _decimals(30, 4),
    "occurred_at": st.one_of(_TIMES, _SHIFTS).map(_to_ms),
    "created_at": _SHIFTS.map(_to_ms),
    "day": st.dates(dt.date(1960, 1, 1), dt.date(2040, 1, 1)),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in _VALUES.items()}),
    min_size=1,
    max_size=6,
)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _like_pattern(text: str) -> str:
    return text.replace("\\", "\\\\").replace("a", "%").replace("b", "_").replace(".", "\\%")


_LEAVES: dict[Kind, st.SearchStrategy[str]] = {
    Kind.STRING: _texts(3).map(_quoted),
    Kind.BOOL: st.sampled_from(("true", "false")),
    Kind.INT: _INTS.filter(lambda n: n > -(2**63)).map(str),  # its negation can't be written
    Kind.FLOAT: st.sampled_from(("0e0", "1.5e0", "-2.5e-1", "1e300")),
    Kind.DECIMAL: st.sampled_from(("0.0", "1.5", "-0.25", "12.3456", "0.005")),
    Kind.TIMESTAMP: _TIMES.map(lambda t: f"timestamp '{_to_ms(t).isoformat()}'"),
    Kind.DATE: st.dates(dt.date(1960, 1, 1), dt.date(2040, 1, 1)).map(lambda d: f"date '{d}'"),
}
_COMPARABLE = (Kind.STRING, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.TIMESTAMP, Kind.DATE)


@cache
def texts_of(kind: Kind, depth: int = 3) -> st.SearchStrategy[str]:
    """Texts of expressions of the kind, nested at most `depth` deep."""
    fields = st.sampled_from([n for n, t in FIELDS.items() if t.kind is kind])
    leaves = st.one_of(fields, fields, _LEAVES[kind])
    if depth == 0:
        return leaves
    return st.one_of(leaves, _any_kind(kind, depth - 1), *_OF_KIND[kind](depth - 1))


def _any_kind(kind: Kind, depth: int) -> st.SearchStrategy[str]:
    x, condition = texts_of(kind, depth), texts_of(Kind.BOOL, depth)
    forms = [
        st.tuples(condition, x, x).map("case when {0[0]} then {0[1]} else {0[2]} end".format),
        st.tuples(condition, x).map("case when {0[0]} then {0[1]} end".format),
        st.tuples(x, x).map("coalesce({0[0]}, {0[1]})".format),
        st.tuples(x, x).map("coalesce(null, {0[0]}, {0[1]})".format),
        st.tuples(x, x).map("nullif({0[0]}, {0[1]})".format),
    ]
    if kind is not Kind.BOOL:
        forms += [st.tuples(x, x, x).map(lambda a: f"greatest({', '.join(a)})")]
        forms += [st.tuples(x, x).map(lambda a: f"least({', '.join(a)})")]
    return st.one_of(forms)


def _bools(depth: int) -> list[st.SearchStrategy[str]]:
    b, s = texts_of(Kind.BOOL, depth), texts_of(Kind.STRING, depth)
    operators = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))
    forms = [
        st.tuples(b, st.sampled_from(("and", "or")), b).map("(({0[0]}) {0[1]} ({0[2]}))".format),
        b.map("(not ({0}))".format),
        st.tuples(s, _texts(5).map(_like_pattern).map(_quoted)).map(
            "(({0[0]}) like {0[1]})".format
        ),
        st.tuples(st.sampled_from(("starts_with", "ends_with", "contains")), s, s).map(
            "{0[0]}({0[1]}, {0[2]})".format
        ),
        st.tuples(s, st.sampled_from(_PATTERNS)).map("regexp_match({0[0]}, '{0[1]}')".format),
        s.map("cast({0} as bool)".format),
    ]
    for kind in _COMPARABLE:
        x = texts_of(kind, depth)
        forms += [
            st.tuples(x, operators, x).map("(({0[0]}) {0[1]} ({0[2]}))".format),
            st.tuples(x, x, x).map("(({0[0]}) between ({0[1]}) and ({0[2]}))".format),
            st.tuples(x, _LEAVES[kind], x).map("(({0[0]}) in ({0[1]}, {0[2]}))".format),
            st.tuples(x, _LEAVES[kind]).map("(({0[0]}) not in ({0[1]}, null))".format),
            st.tuples(x, _LEAVES[kind], _LEAVES[kind]).map("(({0[0]}) in ({0[1]}, {0[2]}))".format),
            x.map("(({0}) is not null)".format),
        ]
    return forms


def _strings(depth: int) -> list[st.SearchStrategy[str]]:
    s, small = texts_of(Kind.STRING, depth), st.integers(1, 4)
    casts = [texts_of(k, depth) for k in (Kind.INT, Kind.DECIMAL, Kind.BOOL, Kind.DATE)]
    return [
        st.tuples(st.sampled_from(("lower", "upper", "trim", "url_path")), s).map(
            "{0[0]}({0[1]})".format
        ),
        st.tuples(s, s).map("concat({0[0]}, {0[1]})".format),
        st.tuples(s, small).map("substring({0[0]}, {0[1]})".format),
        st.tuples(s, small, small).map("substring({0[0]}, {0[1]}, {0[2]})".format),
        st.tuples(s, small).map("split_part({0[0]}, ''' ', {0[1]})".format),
        st.tuples(s, small).map("split_part({0[0]}, 'a', {0[1]})".format),
        st.tuples(s, st.sampled_from(_PATTERNS)).map("regexp_extract({0[0]}, '{0[1]}')".format),
        st.one_of(casts).map("cast({0} as string)".format),
    ]


def _numbers(kind: Kind, depth: int) -> list[st.SearchStrategy[str]]:
    x = texts_of(kind, depth)
    infix = st.tuples(x, st.sampled_from(("+", "-", "*", "%")), x)
    digits = st.integers(0, 3)
    return [
        infix.map("(({0[0]}) {0[1]} ({0[2]}))".format),
        x.map("(-({0}))".format),
        st.tuples(st.sampled_from(("abs", "floor", "ceil", "round")), x).map(
            "{0[0]}({0[1]})".format
        ),
        st.tuples(x, digits).map("round({0[0]}, {0[1]})".format),
    ]


def _ints(depth: int) -> list[st.SearchStrategy[str]]:
    time = texts_of(Kind.TIMESTAMP, depth)
    casts = (Kind.STRING, Kind.FLOAT, Kind.DECIMAL, Kind.BOOL)
    return [
        *_numbers(Kind.INT, depth),
        texts_of(Kind.STRING, depth).map("length({0})".format),
        st.tuples(st.sampled_from(_PARTS), time).map("extract({0[0]} from {0[1]})".format),
        st.one_of([texts_of(k, depth) for k in casts]).map("cast({0} as int)".format),
    ]


def _floats(depth: int) -> list[st.SearchStrategy[str]]:
    x, n, d = (texts_of(k, depth) for k in (Kind.FLOAT, Kind.INT, Kind.DECIMAL))
    return [
        *_numbers(Kind.FLOAT, depth),
        st.tuples(st.one_of(x, n, d), st.one_of(x, n, d)).map("(({0[0]}) / ({0[1]}))".format),
        st.tuples(x, st.sampled_from(("+", "-", "*")), n).map("(({0[0]}) {0[1]} ({0[2]}))".format),
        st.one_of(n, d, texts_of(Kind.STRING, depth)).map("cast({0} as float)".format),
    ]


def _decimal_texts(depth: int) -> list[st.SearchStrategy[str]]:
    d, n = texts_of(Kind.DECIMAL, depth), texts_of(Kind.INT, depth)
    casts = (Kind.STRING, Kind.INT, Kind.FLOAT, Kind.DECIMAL)
    targets = st.sampled_from(("decimal(18,4)", "decimal(5,0)", "decimal(4,3)", "decimal(38,2)"))
    return [
        *_numbers(Kind.DECIMAL, depth),
        st.tuples(d, st.sampled_from(("+", "-", "*", "%")), n).map(
            "(({0[0]}) {0[1]} ({0[2]}))".format
        ),
        st.tuples(st.one_of([texts_of(k, depth) for k in casts]), targets).map(
            "cast({0[0]} as {0[1]})".format
        ),
    ]


def _timestamps(depth: int) -> list[st.SearchStrategy[str]]:
    t, unit = texts_of(Kind.TIMESTAMP, depth), st.sampled_from(_UNITS)
    return [
        st.tuples(unit, t).map("date_trunc('{0[0]}', {0[1]})".format),
        st.tuples(unit, t, st.sampled_from(_ZONES)).map(
            "date_trunc('{0[0]}', {0[1]}, '{0[2]}')".format
        ),
        texts_of(Kind.DATE, depth).map("cast({0} as timestamp)".format),
    ]


def _dates(depth: int) -> list[st.SearchStrategy[str]]:
    return [texts_of(Kind.TIMESTAMP, depth).map("cast({0} as date)".format)]


_OF_KIND = {
    Kind.BOOL: _bools,
    Kind.STRING: _strings,
    Kind.INT: _ints,
    Kind.FLOAT: _floats,
    Kind.DECIMAL: _decimal_texts,
    Kind.TIMESTAMP: _timestamps,
    Kind.DATE: _dates,
}
KINDS = tuple(_OF_KIND)
EXPRESSIONS = st.one_of([texts_of(kind) for kind in _OF_KIND])
