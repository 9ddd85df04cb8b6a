"""Wrong expectations in every layout that YAML has for them, drawn by a seed."""

from __future__ import annotations

from random import Random


class Layouts:
    """Draws expectations of the metric and steps in test_updating.py."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def draw(self) -> str:
        """Expectations in a step, at the end, and of dead letters, or some of them."""
        text = self._expect("        ", "      - ") if self._random.random() < 0.6 else ""
        text += self._expect("    ", "    ")
        letters = (
            "",
            "    expect_dead_letters: []\n",
            "    expect_dead_letters:\n"
            "      - { id: d, reason: invalid }  # x\n      - { id: q }\n",
        )
        return text + self._random.choice(letters)

    def _expect(self, indent: str, before: str) -> str:
        key = before + "expect:"
        count = self._random.randrange(4)
        style = self._random.choice(["dashes", "dashes", "a line", "brackets"])
        if not count:
            return f"{key} []\n"
        if style == "dashes":
            lines = [key + self._remark() + "\n"]
            for _ in range(count):
                row = self._random.choice([self._braces, self._block])(indent + "    ")
                lines.append(f"{indent}  - {row}{self._remark()}\n")
                lines.append(self._random.choice(["", "", "\n", f"{indent}  # between\n"]))
            return "".join(lines)
        if style == "a line":
            rows = ", ".join(self._braces() for _ in range(count))
            return f"{key} [{rows}]{self._remark()}\n"
        lines = [f"{key} [\n"]
        for place in range(count):
            comma = "," if place < count - 1 else self._random.choice(["", ","])
            lines.append(f"{indent}  {self._braces(indent + '  ')}{comma}{self._remark()}\n")
        return "".join(lines) + f"{indent}]\n"

    def _values(self) -> dict[str, str]:
        choices = {
            "country": ["BE", "NL", "null", "FR"],
            "n": ["1", "2", "{ approx: 3, within: 0.5 }", '"x y"'],
            "total": ['"1.50"', "null", "'2'"],
            "state": ["final", "corrected"],
        }
        window = self._random.choice(['"12:00"', '"12:01"', "'12:00'"])
        named = {
            n: self._random.choice(c) for n, c in choices.items() if self._random.random() < 0.6
        }
        return {"window": window, **named}

    def _braces(self, indent: str | None = None) -> str:
        pairs = [f"{name}: {value}" for name, value in self._values().items()]
        if indent is None or self._random.random() < 0.7:
            return "{ " + ", ".join(pairs) + " }"
        return "{\n" + ",\n".join(f"{indent}  {pair}" for pair in pairs) + f"\n{indent}}}"

    def _block(self, indent: str) -> str:
        pairs = [f"{name}: {value}{self._remark()}" for name, value in self._values().items()]
        return f"\n{indent}".join(pairs)

    def _remark(self) -> str:
        return self._random.choice(["", "", "  # a remark"])
