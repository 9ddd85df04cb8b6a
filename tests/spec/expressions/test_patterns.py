from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelinekit.spec.expressions.patterns import WEIGHT_MAX, read_pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)", "(?=a"),
        ("(?<!a)b", "(?<!"),
        ("(?<name>a)", "(?<n"),
        ("(?>a)", "(?>a"),
        (r"(a)\1", r"\1"),
        ("(?P=name)", "(?P="),
        ("(?x)a", "(?x)"),
        ("a**", "repeats a repetition"),
        ("a++", "repeats a repetition"),
        ("a{2}{3}", "repeats a repetition"),
        ("*a", "repeats nothing"),
        ("^*", "an anchor"),
        ("a{1001}", "more than 1000"),
        ("a{5,2}", "wrong way round"),
        ("((a{500}){500})", "too large"),
        ("a{", "write \\{"),
        ("a]", "write \\]"),
        ("[a", 'no "]"'),
        ("[]a]", "write \\]"),
        ("[[:alpha:]]", "write \\["),
        ("[z-a]", "a range"),
        (r"[\w-z]", None),
        (r"[\D]", "\\D"),
        ("(a", 'no ")"'),
        ("a)", "closes no group"),
        ("a\\", "ends in a backslash"),
        (r"\pL", r"\p"),
        (r"\Z", r"\Z"),
        ("(" * 50 + ")" * 50, "nested"),
        ("a" * 501, "501 characters"),
    ],
)
def test_what_not_all_engines_read_is_refused(pattern: str, reason: str | None) -> None:
    if reason is None:
        assert read_pattern(pattern).groups == 0
        return
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        (r"^\d$", "٣", False),  # ASCII digits only, as in RE2
        (r"^\w$", "é", False),
        (r"\s", "\u00a0", False),
        (r"\bb", "éb", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("a$", "a\n", False),
        ("(?m)a$", "a\nb", True),
        ("(?i)É", "é", True),
        ("[^a]", "\n", True),
        ("[&&~~-]", "&", True),
        (r"[\]\[\-^]", "]", True),
        ("[a-]", "-", True),
        ("<b>", "<b>", True),
        ("a b#c", "a b#c", True),
        ("", "", True),
        ("a|", "x", True),
        ("(?P<n>a)(?:b)", "ab", True),
    ],
)
def test_pattern_means_what_it_means_in_re2(pattern: str, text: str, is_found: bool) -> None:
    assert _found(pattern, text) is is_found


@pytest.mark.parametrize("weight", [WEIGHT_MAX // 4000])
@pytest.mark.parametrize("atom", ["[^a]", "(?i)k", r"\W", ".", r"[^\d]"])
def test_largest_patterns_compile(atom: str, weight: int) -> None:
    assert _found("a|" + atom + "{1000}" * weight, "a")


@settings(max_examples=300)
@given(st.text("ab01.^$|()[]{}*+?\\-dwsbn,:", max_size=12), st.text("ab01 .-", max_size=6))
@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
def test_pattern_that_is_read_agrees_with_python(pattern: str, text: str) -> None:
    try:
        read = read_pattern(pattern)
    except ValueError:
        return
    compiled = re.compile(pattern, re.ASCII)

    assert _found(pattern, text) is (compiled.search(text) is not None)
    assert read.groups == compiled.groups


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_that_compiles_or_a_reason(text: str) -> None:
    try:
        rust = read_pattern(text).rust
    except ValueError:
        return
    assert pl.select(pl.lit("abc").str.contains(rust)).item() in (True, False)


def _found(pattern: str, text: str) -> bool:
    rust = read_pattern(pattern).rust
    return bool(pl.select(pl.lit(text).str.contains(rust)).item())
