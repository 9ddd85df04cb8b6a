"""The forms of texts that all engines read alike, as regular expressions of RE2 and Rust."""

from __future__ import annotations

from pipelinekit.types import Type

_META = frozenset("\\.+*?()|[]{}^$")
INT_PATTERN = "^-?0*[0-9]{1,19}$"
FLOAT_PATTERN = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
URL_PATH = r"^(?:(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*)?([^?#]*)"


def like_as_regexp(pattern: str) -> str:
    r"""A LIKE pattern as a regular expression: `%` and `_` match newlines as well."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            parts.append(".*")
        elif character == "_":
            parts.append(".")
        else:
            literal = next(characters) if character == "\\" else character
            parts.append("\\" + literal if literal in _META else literal)
    return "(?s)^" + "".join(parts) + "$"


def decimal_pattern(target: Type) -> str:
    """The texts that a cast to the decimal type reads: no more digits than it has."""
    fraction = rf"(\.[0-9]{{1,{target.scale}}})?" if target.scale else ""
    whole = max(1, target.precision - target.scale)
    return rf"^-?0*[0-9]{{1,{whole}}}{fraction}$"
