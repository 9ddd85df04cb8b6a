"""Functions of texts in polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.spec.expressions.forms import URL_PATH, like_as_regexp
from pipelinekit.spec.expressions.patterns import read_pattern
from pipelinekit.spec.expressions.tree import Call, written

if TYPE_CHECKING:
    import polars as pl


def of_text(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """`length lower upper trim url_path concat`."""
    import polars as pl

    text = values[0]
    match call.function:
        case "length":
            return text.str.len_chars().cast(pl.Int64)
        case "lower":
            return text.str.to_lowercase()
        case "upper":
            return text.str.to_uppercase()
        case "trim":
            return text.str.strip_chars(" ")
        case "url_path":
            return text.str.extract(URL_PATH, 1)
        case _:
            return pl.concat_str(*values)


def has_part(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """`starts_with ends_with contains`."""
    import polars as pl

    text, part = values
    match call.function:
        case "starts_with":
            found = text.str.starts_with(part)
        case "ends_with":
            found = text.str.ends_with(part)
        case _:
            found = text.str.contains(part, literal=True)
    # polars says false, not null, where the part is null.
    return pl.when(part.is_not_null()).then(found)


def substring(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    start, length = written(call, 1), written(call, 2)
    assert isinstance(start, int)
    return values[0].str.slice(start - 1, length if isinstance(length, int) else None)


def split_part(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """The part of that number; an empty text where there is none."""
    import polars as pl

    text, separator, place = values[0], written(call, 1), written(call, 2)
    assert isinstance(place, int)
    part = text.str.split(str(separator)).list.get(place - 1, null_on_oob=True)
    return pl.when(text.is_not_null()).then(part.fill_null(""))


def like(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    return values[0].str.contains(like_as_regexp(str(written(call, 1))))


def regexp(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """`regexp_match`, and `regexp_extract` of its first group if it has one, else of the whole.

    A group that took no part in the match holds the empty text: not every engine can tell.
    """
    import polars as pl

    pattern = read_pattern(str(written(call, 1)))
    found = values[0].str.contains(pattern.rust)
    if call.function == "regexp_match":
        return found
    group = written(call, 2)
    group = group if isinstance(group, int) else min(pattern.groups, 1)
    part = values[0].str.extract(pattern.rust, group)
    may_skip = group > 0 and any(c in pattern.rust for c in "|?*{")
    return pl.when(found).then(part.fill_null("")) if may_skip else part
