"""YAML text → values with places; what is hostile or surprising is a finding."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelinekit.spec.decoding import BYTES_MAX
from pipelinekit.spec.document import Document
from pipelinekit.spec.reading import NODES_MAX, read


def codes(document: Document) -> list[str]:
    """`PK001@1:7` for each finding: code, line, column."""
    return [f"{f.code}@{f.span.line}:{f.span.column}" for f in document.findings]


def value(text: str) -> object:
    return read(f"a: {text}\n".encode(), "f.yaml").data()["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("y", "y"), ("NULL", None), ("~", None),
        ("", None), ("true", True), ("FALSE", False), ("tRue", "tRue"), ("0o17", 15), ("017", 17),
        ("0x1F", 31), ("1_000", "1_000"), ("-12", -12), ("+3", 3), ("1e3", 1000.0), (".5", 0.5),
        ("12:00:05", "12:00:05"), ("2024-01-01", "2024-01-01"), ("1.", 1.0), ("'1'", "1"),
        ('"true"', "true"), ("1m", "1m"), ("=", "="), ("'it''s'", "it's"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


HOSTILE = [
    ("kind: [", ["PK001@1:8"]),
    ("kind: metric\n\tname: x", ["PK001@2:1"]),
    ("kind: a: b", ["PK001@1:8"]),
    ("a: 1\nb: 'open\n", ["PK001@2:4"]),
    ("kind: \x00", ["PK011@1:7"]),
    ("a: b\nc: x\u2028y\u202e\n", ["PK011@2:5", "PK011@2:7"]),
    ("a: b\rc: d\n", ["PK011@1:5"]),
    ("a: b\u0085c: (d # e\n", ["PK011@1:5"]),
    ("a: \x1b[31m", ["PK011@1:4"]),
    ("", ["PK003@1:1"]),
    ("# only a comment\n", ["PK003@1:1"]),
    ("- a\n", ["PK003@1:1"]),
    ("a text\n", ["PK003@1:1"]),
    ("a: 1\n---\nb: 2\n", ["PK004@2:1"]),
    ("a: &x 1\nb: *x\n", ["PK005@1:4", "PK005@2:4"]),
    ("<<: { a: 1 }\n", ["PK005@1:1"]),
    ("a: !!str 1\n", ["PK006@1:4"]),
    ("a: !x { b: 1 }\n", ["PK006@1:4"]),
    ("a: .inf\nb: -.INF\nc: .nan\n", ["PK006@1:4", "PK006@2:4", "PK006@3:4"]),
    ("a: 1e999\n", ["PK006@1:4"]),
    ("a: 1\nb: 2\na: 3\n", ["PK007@3:1"]),
    ("a:\n  b: { c: 1, c: 2 }\n", ["PK007@2:14"]),
    ("1: a\n", ["PK008@1:1"]),
    ("true: a\n", ["PK008@1:1"]),
    ("? [a]\n: b\n", ["PK008@1:3"]),
    ("a: { m: sum(x, y) }\n", ["PK009@1:14"]),
    ("a: [coalesce(x, y)]\n", ["PK009@1:15"]),
    ("a: { e: coalesce(x, 'y') }\n", ["PK009@1:19"]),
    ("a: { t: Views, by country }\n", ["PK009@1:16"]),
    ("a: (page = '/a #b')\n", ["PK010@1:15"]),
    ("a: p = '/a #b'\n", ["PK010@1:11"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), HOSTILE, ids=[repr(t)[:30] for t, _ in HOSTILE])
def test_finding_stands_at_its_line_and_column(text: str, expected: list[str]) -> None:
    assert codes(read(text.encode(), "f.yaml")) == expected


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("m:\n  a: 1\n b: 2\n", "in one column"),
        ("m:\n  - 1\n - 2\n", "in one column"),
        ('a: "x" y\n', "a quote ends too early"),
        ("a: [1\nb: 2\n", "a bracket"),
        ("a: b: c\n", "in quotes"),
    ],
)
def test_help_for_what_is_no_yaml_names_the_likely_cause(text: str, likely: str) -> None:
    (finding,) = read(text.encode(), "f.yaml").findings
    assert likely in (finding.help or "")


@pytest.mark.parametrize(
    "text",
    [
        "a: don't   # a comment after an apostrophe\n",
        "a: { m: 'sum(a, b)', t: \"x, y\" }\n",
        "a: f(x) # comment\n",
        "a: sum(a, b)\n",
        "a: |\n  (not # a comment\n",
        'a: "\\u2028"\n',
        "a: b\r\nc: d\r\n",
        "---\na: 1\n",
    ],
)
def test_what_only_looks_odd_is_fine(text: str) -> None:
    assert codes(read(text.encode(), "f.yaml")) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xfea\x00", "PK001"),
        (b"\xef\xbb\xbfa: 1", "PK001"),
        (b"a: \xff", "PK001"),
        (b"#" * (BYTES_MAX + 1), "PK002"),
        (b"a: " + b"[" * 40 + b"]" * 40, "PK002"),
        (b"a: " + b"[" * 100_000, "PK002"),
        (b"a: [" + b"1," * NODES_MAX + b"1]", "PK002"),
    ],
    ids=["utf-16", "mark", "bytes", "large", "deep", "very deep", "many"],
)
def test_file_beyond_the_limits_is_one_finding(data: bytes, code: str) -> None:
    (finding,) = read(data, "f.yaml").findings
    assert finding.code == code


def test_places_count_characters_not_bytes() -> None:
    document = read("é: { ü: 'ß', x: 5 }\n".encode(), "f.yaml")
    span = document.span(("é", "x"))
    assert (span.line, span.column, span.end_column) == (1, 17, 18)


def test_missing_key_is_placed_at_its_parent() -> None:
    document = read(b"a:\n  b:\n    c: 1\n", "f.yaml")
    span = document.span(("a", "b", "missing", "deeper"))
    assert (span.line, span.column) == (2, 3)


def test_long_numbers_stay_texts() -> None:
    assert value("9" * 5000) == "9" * 5000
    assert value("0x" + "f" * 5000) == "0x" + "f" * 5000


@given(st.text(max_size=200))
@example("a: *a")
@example("{a: [}")
@example("%TAG ! x\n---\na: !b c")
def test_no_text_raises(text: str) -> None:
    document = read(text.encode("utf-8", "surrogatepass"), "f.yaml")
    assert document.root is not None or document.findings
    for finding in document.findings:
        assert 1 <= finding.span.line <= text.count("\n") + 2
        assert finding.span.column >= 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_finite(number: float) -> None:
    found = value(repr(number))
    assert isinstance(found, int | float)
    assert math.isfinite(found)
