"""What is written out in an expression: numbers, and the values that some arguments must have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelinekit.spec.expressions.functions import EXTRACT_PARTS, TRUNCATE_UNITS
from pipelinekit.spec.expressions.patterns import read_pattern
from pipelinekit.spec.expressions.problems import listed, nearest, shown
from pipelinekit.spec.expressions.times import (
    DATE_USAGE,
    TIMESTAMP_USAGE,
    is_date,
    is_timestamp,
)
from pipelinekit.spec.expressions.tree import Literal, LiteralValue
from pipelinekit.types import DECIMAL_PRECISION_MAX, FLOAT, INT, Kind, decimal_type

ROUND_DIGITS_MAX = 18


class Unfit(Exception):
    """A written value that can't stand where it does."""

    def __init__(self, message: str, help: str | None = None, code: str = "PK205") -> None:
        super().__init__(message)
        self.message, self.help, self.code = message, help, code


def number(text: str) -> Literal:
    """A number as written: with a dot a decimal, with an exponent a float. Raises Unfit."""
    if "e" in text.lower():
        value = float(text)
        if not math.isfinite(value):
            raise Unfit(f"{shown(text)} is beyond the range of a float")
        return Literal(value, FLOAT)
    if "." in text:
        whole, fraction = text.lstrip("-").split(".")
        digits = max(len(whole.lstrip("0")) + len(fraction), 1)
        if digits > DECIMAL_PRECISION_MAX:
            raise Unfit(f"{shown(text)} has {digits} digits, 38 are the most for a decimal")
        return Literal(Decimal(text), decimal_type(digits, len(fraction)))
    value = int(text)
    if not -(2**63) <= value < 2**63:
        help = f"write {text}.0 for a decimal" if len(text) < DECIMAL_PRECISION_MAX else None
        raise Unfit(f"{shown(text)} is beyond 64 bits", help)
    return Literal(value, INT)


def check_time(text: str, kind: Kind) -> None:
    """Raises Unfit unless a cast to timestamp or date can read the written text."""
    if kind is Kind.TIMESTAMP and not is_timestamp(text):
        raise Unfit(f"{shown(text)} is not a timestamp", TIMESTAMP_USAGE)
    if kind is Kind.DATE and not is_date(text):
        raise Unfit(f"{shown(text)} is not a date", DATE_USAGE)


def check_argument(function: str, place: int, values: Sequence[LiteralValue]) -> None:
    """Raises Unfit unless the written value at `place` can be an argument of the function.

    `values` are all the call's arguments, None where one is computed; types fit already.
    """
    value = values[place]
    match function, place, value:
        case "date_trunc", 0, str(unit):
            _check_word(unit, TRUNCATE_UNITS, "unit")
        case "date_trunc", 2, str(zone):
            _check_zone(zone)
        case "extract", 0, str(part):
            _check_word(part, EXTRACT_PARTS, "part")
        case (("regexp_match" | "regexp_extract"), 1, str(pattern)):
            _check_pattern(pattern)
        case "regexp_extract", 2, int(group):
            _check_group(group, str(values[1]))
        case "substring", 1, int(start) if start < 1:
            raise Unfit(f"{start} is no place in a text", "places count from 1")
        case "substring", 2, int(length) if length < 0:
            raise Unfit(f"{length} is no length")
        case "split_part", 1, "":
            raise Unfit("the separator is empty")
        case "split_part", 2, int(part) if part < 1:
            raise Unfit(f"there is no part {part}", "parts count from 1")
        case "round", 1, int(digits) if not 0 <= digits <= ROUND_DIGITS_MAX:
            raise Unfit(f"{digits} digits: 0 to {ROUND_DIGITS_MAX} are possible")
        case _:
            pass


def check_like(pattern: str) -> None:
    r"""Raises Unfit unless every backslash of a LIKE pattern escapes `%`, `_` or `\`."""
    characters = iter(pattern)
    for character in characters:
        if character == "\\" and next(characters, "") not in ("%", "_", "\\"):
            help = r"write \\ for the character itself"
            raise Unfit(r"a backslash in a pattern stands before %, _ or \ only", help)


def _check_word(word: str, known: tuple[str, ...], what: str) -> None:
    if word not in known:
        close = nearest(word, known)
        help = f"did you mean {close}?" if close else f"the {what}s are {listed(known)}"
        raise Unfit(f"{shown(word)} is no {what}", help)


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Unfit(f"{shown(zone)} is no time zone", "write one as Europe/Brussels") from None


def _check_group(group: int, pattern: str) -> None:
    try:
        groups = read_pattern(pattern).groups
    except ValueError:
        return  # the pattern has its own problem
    if not 0 <= group <= groups:
        raise Unfit(f"there is no group {group}: the pattern has {groups}")


def _check_pattern(pattern: str) -> None:
    try:
        read_pattern(pattern)
    except ValueError as error:
        raise Unfit(str(error), code="PK206") from None
