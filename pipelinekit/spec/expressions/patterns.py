"""Regular expressions: the subset that RE2 and Rust's engine share, with RE2's meaning.

`\\d`, `\\w`, `\\s` and `\\b` are ASCII; there is no look-around and there are no back-references;
`.` stops at a newline and `$` is the end of the text unless the flags s and m say otherwise.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LENGTH_MAX = 500
REPEAT_MAX = 1_000
# Of the pattern with its repetitions written out: the engines bound their compiled programs.
WEIGHT_MAX = 5_000
_DEPTH_MAX = 20
_META = frozenset("\\.+*?()|[]{}^$#&-~")
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}
_CONTROLS = frozenset("ntrfv")
_REPEAT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}")
_FLAGS = re.compile(r"\(\?([ism]{1,3})([:)])")
_NAMED = re.compile(r"\(\?P<[A-Za-z_][A-Za-z0-9_]{0,31}>")


class Pattern(NamedTuple):
    """A pattern that was read: how Rust's engine writes it, and how many groups it captures."""

    rust: str
    groups: int


def read_pattern(text: str) -> Pattern:
    """The pattern. ValueError says what is outside the subset."""
    if len(text) > LENGTH_MAX:
        raise ValueError(f"the pattern has {len(text)} characters, {LENGTH_MAX} are the most")
    reader = _Reader(text)
    weight = reader.alternation(0)
    if reader.at < len(text):
        raise ValueError('")" closes no group: write \\)')
    if weight > WEIGHT_MAX:
        raise ValueError("the repetitions make the pattern too large")
    return Pattern("".join(reader.out), reader.groups)


class _Reader:
    """Every method reads one piece, writes it to `out` and gives back its weight."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.groups = 0
        self.out: list[str] = []

    def alternation(self, depth: int) -> int:
        if depth > _DEPTH_MAX:
            raise ValueError(f"groups are nested more than {_DEPTH_MAX} deep")
        weight = 0
        while self._peek() not in ("", ")"):
            if self._peek() == "|":
                self.out.append(self._next())
            else:
                weight += self._repeated(depth)
        return weight

    def _repeated(self, depth: int) -> int:
        is_anchor = self._peek() in ("^", "$") or self.text.startswith("\\b", self.at)
        weight = self._atom(depth)
        times = self._repetition()
        if times is None:
            return weight
        if is_anchor:
            raise ValueError("an anchor can't be repeated")
        if self._peek() == "?":
            self.out.append(self._next())
        if self._peek() in ("*", "+", "?") or _REPEAT.match(self.text, self.at):
            raise ValueError(f'"{self._peek()}" repeats a repetition: put it in (?:…)')
        return max(weight, 1) * times

    def _repetition(self) -> int | None:
        """How many copies the repetition at this place stands for, if there is one."""
        if self._peek() in ("*", "+", "?"):
            self.out.append(self._next())
            return 1
        found = _REPEAT.match(self.text, self.at)
        if found is None:
            return None
        least, most = int(found[1]), int(found[3] or found[1])
        if max(least, most) > REPEAT_MAX:
            raise ValueError(f"{found[0]} repeats more than {REPEAT_MAX} times")
        if least > most:
            raise ValueError(f"{found[0]} has its bounds the wrong way round")
        self.out.append(found[0])
        self.at = found.end()
        return max(least, most, 1)

    def _atom(self, depth: int) -> int:
        match self._peek():
            case "(":
                return self._group(depth)
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "." | "^" | "$" as character:
                self.out.append(character)
                self.at += 1
                return 2
            case "*" | "+" | "?" as character:
                raise ValueError(f'"{character}" repeats nothing: write \\{character}')
            case "{" | "}" | "]" as character:
                raise ValueError(f'"{character}" stands alone: write \\{character}')
            case _:
                self.out.append(_escaped(self._next()))
                return 1

    def _group(self, depth: int) -> int:
        if flags := _FLAGS.match(self.text, self.at):
            self.out.append(flags[0])
            self.at = flags.end()
            if flags[2] == ")":
                return 0
        elif self.text.startswith("(?:", self.at):
            self.out.append("(?:")
            self.at += 3
        elif named := _NAMED.match(self.text, self.at):
            self._open(named.end())
        elif self.text.startswith("(?", self.at):
            piece = self.text[self.at : self.at + 4]
            raise ValueError(f'"{piece}" is not in RE2: no look-around, no back-references')
        else:
            self._open(self.at + 1)
        weight = self.alternation(depth + 1)
        if self._peek() != ")":
            raise ValueError('a group has no ")"')
        self.out.append(self._next())
        return weight + 1

    def _open(self, end: int) -> None:
        """A capturing group; its name is for readers only."""
        self.groups += 1
        self.out.append("(")
        self.at = end

    def _escape(self) -> int:
        character = self._after_backslash()
        if character in _CLASSES:
            self.out.append(f"[{_CLASSES[character]}]")
        elif character.lower() in _CLASSES:
            self.out.append(f"[^{_CLASSES[character.lower()]}]")
            return 4
        elif character == "b":
            self.out.append("(?-u:\\b)")
        else:
            self.out.append(self._single(character))
        return 1

    def _class(self) -> int:
        self._next()
        self.out.append("[")
        is_negated = self._peek() == "^"
        if is_negated:
            self.out.append(self._next())
        count = 0
        while self._peek() != "]" or count == 0:
            self._class_item()
            count += 1
        self.out.append(self._next())
        return 4 if is_negated else 1 + count // 4

    def _class_item(self) -> None:
        low = self._class_character()
        if len(low) > 1 or self._peek() != "-" or self.text[self.at + 1 : self.at + 2] == "]":
            self.out.append(_CLASSES[low[1]] if len(low) > 1 else _escaped(low))
            return
        self._next()
        high = self._class_character()
        if len(high) > 1 or low > high:
            raise ValueError("a range of a class runs from a lower to a higher character")
        self.out.append(f"{_escaped(low)}-{_escaped(high)}")

    def _class_character(self) -> str:
        r"""One character, or a class such as `\d` as it is written."""
        match self._peek():
            case "":
                raise ValueError('a class has no "]"')
            case "[" | "]" as bracket:
                raise ValueError(f'"{bracket}" inside a class: write \\{bracket}')
            case "\\":
                character = self._after_backslash()
                if character in _CLASSES:
                    return "\\" + character
                if character in _CONTROLS:
                    return {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}[character]
                self._single(character)
                return character
            case _:
                return self._next()

    def _after_backslash(self) -> str:
        self._next()
        if self._peek() == "":
            raise ValueError("the pattern ends in a backslash: write \\\\")
        return self._next()

    def _single(self, character: str) -> str:
        if character in _CONTROLS:
            return "\\" + character
        if character.isascii() and not character.isalnum():
            return _escaped(character)
        if character in "123456789":
            raise ValueError(f'"\\{character}" is not in RE2: no look-around, no back-references')
        raise ValueError(f'"\\{character}" is not in the subset that all engines share')

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _next(self) -> str:
        character = self.text[self.at]
        self.at += 1
        return character


def _escaped(character: str) -> str:
    return "\\" + character if character in _META else character


def capturing(pattern: str, group: int) -> str:
    """A pattern of the subset in which only that group captures, by number; 0 is none."""
    out: list[str] = []
    at = count = 0
    is_in_class = False
    while at < len(pattern):
        character = pattern[at]
        piece = pattern[at : at + 2] if character == "\\" else character
        if is_in_class:
            is_in_class = piece != "]"
        elif piece == "[":
            is_in_class = True
        elif piece == "(":
            named = _NAMED.match(pattern, at)
            if named or not pattern.startswith("(?", at):
                count += 1
                piece = named[0] if named else "("
                out.append("(" if count == group else "(?:")
                at += len(piece)
                continue
        out.append(piece)
        at += len(piece)
    return "".join(out)
