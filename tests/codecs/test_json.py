from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.codecs.json import decoder
from pipelinekit.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    decimal_type,
    list_type,
)

TIME = FieldSpec("t", TIMESTAMP, (("t",),))
NOON_MS = 1_704_110_400_000  # 2024-01-01T12:00:00Z


def field(name: str, kind: Type, *, optional: bool = True, **rest: object) -> FieldSpec:
    paths = rest.pop("paths", ((name,),))
    return FieldSpec(name, kind, paths, optional=optional, **rest)  # type: ignore[arg-type]


def decode_one(spec: FieldSpec, payload: str | bytes, headers: tuple = ()) -> object:
    """The field's value in the one row, or the text of the refusal; the same in a long batch."""
    data = payload.encode() if isinstance(payload, str) else payload
    alone, among = (_first(spec, [data] * count, headers) for count in (1, 100))
    assert alone == among or alone != alone  # NaN
    return alone


def _first(spec: FieldSpec, data: list[bytes], headers: tuple) -> object:
    decoded = decoder([TIME, spec], "t").decode(data, [headers] * len(data))
    if decoded.refused:
        assert [r.index for r in decoded.refused] == list(range(len(data)))
        assert decoded.frame.height == 0
        return decoded.refused[0].detail
    return decoded.frame[spec.name].to_list()[0]


def with_value(text: str) -> str:
    return f'{{"t": {NOON_MS}, "x": {text}}}'


GOOD = [
    (STRING, '"é\\n"', "é\n"),
    (STRING, '"\\ud83d\\ude00"', "😀"),
    (STRING, "null", None),
    (BOOL, "true", True),
    (INT, "9223372036854775807", 2**63 - 1),
    (INT, "-9223372036854775808", -(2**63)),
    (FLOAT, "5", 5.0),
    (FLOAT, "1e3", 1000.0),
    (decimal_type(18, 4), "1.5", Decimal("1.5")),
    (decimal_type(18, 4), '"1.5"', Decimal("1.5")),
    (decimal_type(18, 4), "1.50000", Decimal("1.5")),
    (decimal_type(18, 4), "1e3", Decimal(1000)),
    (decimal_type(18, 4), "0e99", Decimal(0)),
    (decimal_type(18, 4), "1." + "0" * 60, Decimal(1)),
    (decimal_type(18, 4), '"-100.' + "0" * 99 + '"', Decimal(-100)),
    (decimal_type(38, 0), "12" + "0" * 36, Decimal("12" + "0" * 36)),
    (decimal_type(18, 4), "-99999999999999.9999", Decimal("-99999999999999.9999")),
    (decimal_type(38, 0), "9" * 38, Decimal("9" * 38)),
    (TIMESTAMP, '"2024-01-01T12:00:00.1239Z"', dt.datetime(2024, 1, 1, 12, 0, 0, 123000, dt.UTC)),
    (TIMESTAMP, '"2024-01-01T14:00:00+02:00"', dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)),
    (DATE, '"2024-02-29"', dt.date(2024, 2, 29)),
    (list_type(INT), "[1, 2]", [1, 2]),
    (list_type(STRING), "[]", []),
]


@pytest.mark.parametrize(("kind", "text", "expected"), GOOD, ids=lambda v: str(v)[:30])
def test_value_is_read_as_its_type(kind: Type, text: str, expected: object) -> None:
    assert decode_one(field("x", kind), with_value(text)) == expected


BAD = [
    (STRING, "5"),
    (STRING, '"\\ud800 lone"'),
    (BOOL, "1"),
    (INT, "5.0"),
    (INT, "1e3"),
    (INT, "true"),
    (INT, '"5"'),
    (INT, "9223372036854775808"),
    (FLOAT, "NaN"),
    (FLOAT, "Infinity"),
    (FLOAT, "1e999"),
    (decimal_type(18, 4), "1.23456"),
    (decimal_type(18, 4), "123456789012345.0"),
    (decimal_type(18, 4), '"NaN"'),
    (decimal_type(18, 4), '" 1"'),
    (decimal_type(18, 4), '"1_0"'),
    (decimal_type(18, 4), "true"),
    (decimal_type(18, 4), "[1]"),
    (decimal_type(38, 0), "9" * 39),
    (TIMESTAMP, '"2024-01-01T12:00:00"'),
    (TIMESTAMP, '"2024-01-01 12:00:00Z"'),
    (TIMESTAMP, '"2024-02-30T12:00:00Z"'),
    (TIMESTAMP, "99999999999999999"),
    (TIMESTAMP, "12.5"),
    (DATE, '"20240101"'),
    (DATE, '"2024-02-30"'),
    (list_type(INT), "[1, null]"),
    (list_type(INT), "[9223372036854775808]"),
]


@pytest.mark.parametrize(("kind", "text"), BAD, ids=lambda v: str(v)[:30])
def test_value_of_another_type_is_refused(kind: Type, text: str) -> None:
    detail = decode_one(field("x", kind), with_value(text))
    assert isinstance(detail, str)
    assert detail


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"5",
    b'{"t": 1704110400000',
    b'{"t": 1704110400000} {"t": 1}',
    b'\xef\xbb\xbf{"t": 1704110400000}',
    b'{"t": 1704110400000, "skipped": "\xff"}',
    b'{"t": 1704110400000, "skipped": NaN}',
    b'{"t": 1704110400000, "skipped": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"t": null}',
    b"{}",
    None,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda v: repr(v)[:40])
def test_hostile_message_is_one_refusal_and_its_neighbours_count(value: bytes | None) -> None:
    good = f'{{"t": {NOON_MS}}}'.encode()
    decoded = decoder([TIME], "t").decode([good, value, good], [(), (), ()])
    assert [r.index for r in decoded.refused] == [1]
    assert decoded.indices is not None
    assert decoded.indices.tolist() == [0, 2]
    assert decoded.event_times_ms.tolist() == [NOON_MS, NOON_MS]


def test_three_part_group_that_a_line_parser_would_swallow_is_three_refusals() -> None:
    good = f'{{"t": {NOON_MS}}}'.encode()
    group = [b'{"t": 1704110400000, "s": "', b'", "u": {"v": 1', b"}}"]
    decoded = decoder([TIME], "t").decode([good, *group, good], [()] * 5)
    assert [r.index for r in decoded.refused] == [1, 2, 3]
    assert decoded.frame.height == 2


def test_last_of_duplicate_keys_wins() -> None:
    assert decode_one(field("x", INT), f'{{"t": {NOON_MS}, "x": 1, "x": 2}}') == 2


def test_first_path_that_is_present_and_not_null_wins() -> None:
    spec = field("x", STRING, paths=(("p", "q"), ("y",)))
    assert decode_one(spec, f'{{"t": {NOON_MS}, "p": {{"q": "a"}}, "y": "b"}}') == "a"
    assert decode_one(spec, f'{{"t": {NOON_MS}, "p": {{"q": null}}, "y": "b"}}') == "b"
    assert decode_one(spec, f'{{"t": {NOON_MS}, "p": null, "y": "b"}}') == "b"
    assert decode_one(spec, f'{{"t": {NOON_MS}}}') is None
    amount = field("x", decimal_type(9, 2), paths=(("p", "q"), ("y",)))
    assert decode_one(amount, f'{{"t": {NOON_MS}, "p": {{"q": null}}, "y": 1.5}}') == Decimal("1.5")


def test_required_field_that_is_missing_or_null_names_its_place() -> None:
    spec = field("x", STRING, optional=False, paths=(("p", "x"), ("x",)))
    expected = 'field "x" is missing at $.p.x or $.x'
    assert decode_one(spec, f'{{"t": {NOON_MS}}}') == expected
    assert decode_one(spec, f'{{"t": {NOON_MS}, "x": null}}') == expected


def test_default_fills_what_is_missing_or_null() -> None:
    spec = field("x", BOOL, optional=False, default=False)
    assert decode_one(spec, f'{{"t": {NOON_MS}}}') is False
    assert decode_one(spec, f'{{"t": {NOON_MS}, "x": null}}') is False
    amount = field("x", decimal_type(9, 2), optional=False, default=0)
    assert decode_one(amount, f'{{"t": {NOON_MS}}}') == Decimal(0)


@pytest.mark.parametrize(("unit", "value"), [("s", 1_704_110_400), ("us", 1_704_110_400_000_999)])
def test_units_of_numeric_times(unit: str, value: int) -> None:
    spec = FieldSpec("t", TIMESTAMP, (("t",),), unit=unit)
    decoded = decoder([spec], "t").decode([f'{{"t": {value}}}'.encode()], [()])
    assert decoded.event_times_ms.tolist() == [NOON_MS]


def test_header_field_is_read_from_the_last_header_of_its_name() -> None:
    spec = field("x", INT, paths=(), header="n")
    headers = (("n", b"1"), ("m", b"5"), ("n", b"2"))
    assert decode_one(spec, f'{{"t": {NOON_MS}}}', headers) == 2
    assert decode_one(spec, f'{{"t": {NOON_MS}}}', ()) is None
    detail = decode_one(spec, f'{{"t": {NOON_MS}}}', (("n", b"\xff"),))
    assert isinstance(detail, str)
    assert 'header "n"' in detail


FIELDS = [
    TIME,
    field("s", STRING),
    field("i", INT),
    field("d", decimal_type(18, 4)),
    field("n", FLOAT, paths=(("deep", "n"),)),
    field("w", TIMESTAMP),
    field("l", list_type(STRING)),
]


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_raise_and_each_message_ends_once(values: list[bytes]) -> None:
    decoded = decoder(FIELDS, "t").decode(values, [()] * len(values))
    assert decoded.frame.height + len(decoded.refused) == len(values)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["t", "s", "i", "d", "deep", "w", "l"]), JSON_VALUES),
        max_size=6,
    )
)
def test_a_message_decodes_the_same_alone_and_among_others(objects: list[dict]) -> None:
    values = [json.dumps({"t": NOON_MS, **o}).encode() for o in objects]
    one = decoder(FIELDS, "t")
    together = one.decode(values, [()] * len(values))
    refused = {r.index: r.detail for r in together.refused}
    rows = iter(together.frame.to_dicts())
    for index, value in enumerate(values):
        alone = one.decode([value], [()])
        if alone.refused:
            assert refused[index] == alone.refused[0].detail
        else:
            assert alone.frame.to_dicts()[0] == next(rows)
    assert next(rows, None) is None


REQUIRED = [
    TIME,
    field("s", STRING, optional=False),
    field("b", BOOL, optional=False),
    field("n", FLOAT, optional=False),
    field("i", INT, optional=False),
    field("deep", STRING, optional=False, paths=(("p", "deep"),)),
    field("either", STRING, optional=False, paths=(("u",), ("v",))),
    field("twin", STRING, paths=(("s",),)),
    field("given", BOOL, optional=False, default=True),
    field("tenant", STRING, paths=(), header="tenant"),
]
WHOLE = {"s": "a", "b": True, "n": 1.5, "i": 3, "p": {"deep": "d"}, "u": "e", "given": None}


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*WHOLE, "v", "t"]), JSON_VALUES, max_size=2), max_size=6
    ),
    st.sets(st.sampled_from([f.name for f in REQUIRED])),
)
def test_fields_that_nobody_reads_are_checked_all_the_same(
    changes: list[dict], wanted: set[str]
) -> None:
    values = [json.dumps({"t": NOON_MS, **WHOLE, **change}).encode() for change in changes]
    headers = [(("tenant", b"x"),)] * len(values)
    whole = decoder(REQUIRED, "t").decode(values, headers)
    part = decoder(REQUIRED, "t", wanted).decode(values, headers)
    assert [r.index for r in part.refused] == [r.index for r in whole.refused]
    assert {*wanted, "t"} <= set(part.frame.columns)
    assert part.frame.equals(whole.frame.select(part.frame.columns))
    assert part.event_times_ms.tolist() == whole.event_times_ms.tolist()


@pytest.mark.parametrize(
    ("gone", "detail"),
    [("s", 'field "s" is missing at $.s'), ("b", 'field "b" is missing at $.b')],
)
def test_a_missing_field_is_named_whether_read_or_not(gone: str, detail: str) -> None:
    value = json.dumps({"t": NOON_MS, **WHOLE, gone: None}).encode()
    lacking = json.dumps({"t": NOON_MS, **{k: v for k, v in WHOLE.items() if k != gone}}).encode()
    for wanted in (None, (), ("s", "b")):
        fields = [f for f in REQUIRED if f.name != "twin"]
        decoded = decoder(fields, "t", wanted).decode([value, lacking], [(), ()])
        assert [r.detail for r in decoded.refused] == [detail, detail]
    assert "s" not in decoder(fields, "t", ()).decode([], []).frame.columns


def test_long_batches_are_taken_in_parts_that_nobody_sees() -> None:
    count = 4_500
    values: list[bytes | None] = [
        json.dumps({"t": NOON_MS + i, "s": str(i), "i": i}).encode() for i in range(count)
    ]
    bad = {0, 499, 500, 1_999, 2_000, 3_999, 4_499}
    for place in bad:
        values[place] = None if place % 2 else b"{"
    values[1_000] = json.dumps({"t": NOON_MS, "s": "1", "i": 2**70}).encode()
    fields = [TIME, field("s", STRING), field("i", INT), field("h", STRING, paths=(), header="h")]
    headers = [(("h", str(i).encode()),) for i in range(count)]
    decoded = decoder(fields, "t").decode(values, headers)
    good = [i for i in range(count) if i not in {*bad, 1_000}]
    assert [r.index for r in decoded.refused] == sorted({*bad, 1_000})
    assert decoded.indices is not None
    assert decoded.indices.tolist() == decoded.frame["i"].to_list() == good
    assert decoded.frame["s"].to_list() == decoded.frame["h"].to_list() == list(map(str, good))
    assert decoded.event_times_ms.tolist() == [NOON_MS + i for i in good]
