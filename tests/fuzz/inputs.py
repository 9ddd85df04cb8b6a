"""What people and programs might put in: real specs cut and mixed, expressions, messages.

Everything follows from a seeded generator, so that a number names an input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

from pipelinekit.data import Headers
from tests.spec.corpus import CORPUS
from tests.spec.expressions.fields import FIELDS
from tests.spec.projects import FILES
from tests.spec.test_mutations import PIECES

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COOKBOOK = (ROOT / "docs/analyst/cookbook.md").read_text(encoding="utf-8")
EXAMPLE = {
    str(file.relative_to(ROOT / "specs")): file.read_bytes()
    for file in sorted((ROOT / "specs").rglob("*.yaml"))
}
SPECS = (
    *EXAMPLE.values(),
    *(text.encode() for text in FILES.values()),
    *(found[1].encode() for found in _BLOCK.finditer(_COOKBOOK)),
)
_TOKEN = re.compile(rb"[\w.]+|\s+|.", re.DOTALL)
_PIECES = [piece.encode("utf-8", "surrogatepass") for piece in PIECES]
_BYTES = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\r", b"\x85",
    b"\xe2\x80\xa8", b"\xf4\x8f\xbf\xbf", b"[" * 40, b"{a: " * 40, b"- " * 40, b"&a [*a]",
    b"? ", b"|\n", b">-\n  ", b"%YAML 1.1\n", b"%TAG ! tag:x,1:\n", b"...\n", b"!!binary ",
    b"0o17", b"0x1F", b"1_000", b".nan", b"2001-12-14", b"<<: ", b"~", b"'" * 3, b'"\\x',
    b"# pipelinekit: ignore PK306 because so it is\n", b" # pipelinekit: ignore", b"${A:-${B}}",
    b"a, " * 7_000, b"x" * 70_000,
)  # fmt: skip


def spec_bytes(rng: Random) -> bytes:
    """A real spec after a few cuts, copies and insertions; now and then nothing but noise."""
    kind = rng.randrange(12)
    if kind == 0:
        return rng.randbytes(rng.randrange(300))
    if kind == 1:
        return _text(rng, 300).encode("utf-8", "surrogatepass")
    data = rng.choice(SPECS)
    for _ in range(rng.randint(1, 4)):
        data = _mutated(rng, data)
    return data


def _text(rng: Random, length: int) -> str:
    return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x11_0000))))
                   for _ in range(rng.randrange(length)))  # fmt: skip


def _mutated(rng: Random, data: bytes) -> bytes:
    tokens = [0, *(found.end() for found in _TOKEN.finditer(data))]
    at = rng.randrange(len(tokens))
    start, end = tokens[at], tokens[min(len(tokens) - 1, at + rng.randint(0, 12))]
    match rng.randrange(8):
        case 0:  # out
            new = b""
        case 1:  # twice
            new = data[start:end] * rng.randint(2, 5)
        case 2:  # of another spec
            lines = rng.choice(SPECS).splitlines(keepends=True)
            first = rng.randrange(len(lines))
            new = b"".join(lines[first : first + rng.randint(1, 4)])
        case 3:
            new = rng.choice(_BYTES)
        case 4:
            new = rng.randbytes(rng.randint(1, 4))
        case 5 | 6:  # a mistake that people make
            _, old, wrong, *_ = rng.choice(CORPUS)
            return data.replace(old.encode(), wrong.encode(), 1)
        case _:
            new = rng.choice(_PIECES)
    return data[:start] + new + data[end:]


_KEYS = (
    "kind", "name", "source", "filter", "key", "measures", "window", "lateness", "emit", "rollups",
    "sink", "slo", "version", "tests", "from", "fields", "id", "event_time", "dead_letters",
    "topic", "brokers", "format", "security", "sasl", "tls", "type", "url", "database",
    "password", "secret",
    "budget", "expr", "values", "measure", "ratio", "max_values", "hidden", "tumbling", "sliding",
    "every", "session", "max", "cumulative", "timezone", "allowed", "early", "late", "size",
    "steps", "events", "raw", "hex", "text", "watermark", "advance", "now", "idle", "restart",
    "expect",
    "expect_dead_letters", "contains", "window_end", "grain", "state", "reason", "base", "metric",
    "spec_version", "defaults", "environments", "field", "optional", "default", "unit", "t", "n",
    "country", "out_of_orderness", "partition", "broker_time", "approx", "within",
)  # fmt: skip
_WORDS_OF_SPECS = (
    "metric", "source", "sink", "test", "events", "views", "store", "country", "count()", "t",
    "sum(amount)", "kind = 'view'", "1m", "10m", "1d", "1mo", "0s", "366d", "5m", "10s", "final",
    "clickhouse", "kafka", "string", "timestamp", "decimal(18,2)", "list<int>", "12:00:05", "-1",
    "2024-02-29T00:00:00Z", "${X}", "${X:-1}", "Europe/Brussels", "too_late", "", "first(user)",
    "approx_quantile(load, 0.5)", "histogram(load, [1, 2])", None, True, False, 0, 1, -1, 2**70,
    0.5, -1e300, 1e-300,
)  # fmt: skip


def _tree(rng: Random, depth: int) -> object:
    """A value of any shape."""
    match rng.randrange(6) if depth else 0:
        case 4:
            return [_tree(rng, depth - 1) for _ in range(rng.randrange(5))]
        case 5:
            keys = rng.sample(_KEYS, rng.randrange(6))
            return {key: _tree(rng, depth - 1) for key in keys}
        case 3:
            return _text(rng, 6)
        case _:
            return rng.choice(_WORDS_OF_SPECS)


def structured(rng: Random) -> dict[str, bytes]:
    """A project of which one file has values of any shape under keys of the language."""
    file = rng.choice(sorted(FILES))
    blocks = _blocks(FILES[file].splitlines(keepends=True))
    own = [block.split(":")[0] for block in blocks]
    keys = {rng.choice((rng.choice(own), rng.choice(_KEYS))) for _ in range(rng.randint(1, 3))}
    kept = [block for block, key in zip(blocks, own, strict=True) if key not in keys]
    written = [f"{key}: {json.dumps(_tree(rng, 4))}\n" for key in sorted(keys)]
    return {file: "".join([*kept, *written]).encode("utf-8", "surrogatepass")}


def _blocks(lines: list[str]) -> list[str]:
    blocks: list[str] = []
    for line in lines:
        if line[0].isspace() and blocks:
            blocks[-1] += line
        else:
            blocks.append(line)
    return blocks


# --- expressions --------------------------------------------------------------------------------

_WORDS = (
    *FIELDS,
    *("'a'", "1", "2.5", "1e3", "1e999", "9" * 50, "0.", ".5", "(", ")", "[", "]", ",", ";", "."),
    *("and", "or", "not", "in", "between", "like", "is", "null", "true", "false", "case", "when"),
    *("then", "else", "end", "cast(", "as", "int", "decimal(4,2)", "decimal(99,9)", "list<int>"),
    *("-", "+", "*", "/", "%", "=", "!=", "<>", "<=", "--", "/*", "||", "&&", "'", '"', "`", "\\"),
    *("\x00", "\ud800", "é", "\u202e", "\t", "\n", "coalesce(", "round(", "extract(", "hour"),
    *("from", "date_trunc('day',", "timestamp", "timestamp '2024-02-30T00:00:00Z'", "date '1'"),
    *("regexp_match(", "'(?=a)'", "'(a+)+$'", "'[[:alpha:]]'", "'\\1'", "'a{1,1000}'", "'%\\'"),
    *("regexp_extract(country, '(a)(b)', 9)", "split_part(", "substring(country, -1, 99)", "sum("),
    *("approx_quantile(load_ms, 2)", "histogram(load_ms, [1, 1])", "(" * 70, "not " * 70),
    *("- " * 70, "'" + "x" * 9_000 + "'", "case when is_bot then " * 40, "1 + " * 400),
)


_VALID = (
    "event_type in ('view', 'click') and not is_bot", "coalesce(device, 'unknown')",
    "case when load_ms > 1000 then 'slow' when load_ms is null then null else 'fast' end",
    "cast(amount as float) / greatest(load_ms, 1)",
    "regexp_extract(country, '^([a-z]+)-(\\d+)$', 2)",
    "date_trunc('day', occurred_at, 'Europe/Brussels') >= timestamp '2024-01-31T12:00:00Z'",
    "extract(hour from occurred_at) between 9 and 17", "day = date '2024-02-29'",
    "round(amount * tax, 2) % 7 = -(bytes - 1)",
    "split_part(lower(trim(country)), '/', 2) like 'a%'",
    "url_path(device) != '' or starts_with(country, 'B')", "nullif(substring(device, 2, 3), 'x')",
    "count()", "sum(amount)", "approx_quantile(load_ms, 0.95)", "histogram(load_ms, [1, 10, 100])",
    "count_distinct(concat(country, '-', device))", "last(amount * 2)", "any_true(is_new)",
)  # fmt: skip


def expression_text(rng: Random) -> str:
    """Words of the language in any order, or an expression with a piece of it replaced."""
    if rng.randrange(3) == 0:
        return rng.choice((" ", "")).join(rng.choices(_WORDS, k=rng.randrange(15)))
    text = rng.choice(_VALID)
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.randrange(9))
        other = rng.choice(_VALID)
        piece = other[(at := rng.randrange(len(other))) : at + rng.randrange(25)]
        new = rng.choice((rng.choice(_WORDS), _text(rng, 3), piece, other, f"({other})", ""))
        text = text[:start] + new + text[end:]
    return text


# --- messages -----------------------------------------------------------------------------------

_VALUES = (
    b"null", b"true", b"0", b"-0", b"1e400", b"-1e-400", b"9223372036854775808", b"1.5", b"5.0",
    b"NaN", b"Infinity", b"-", b"01", b"1.", b"1e", b'""', b'"x"', b'"\\ud800"',
    b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\x"', b'"a', b"[]",
    b"[1, null]", b'["a", "b"]',
    b"[[1]]", b"{}", b'{"a": 1}', b'"2024-02-29T12:00:00Z"', b'"2023-02-29T12:00:00Z"',
    b'"2024-01-01T24:00:00Z"', b'"2024-01-01T12:00:60Z"', b'"0000-01-01T00:00:00Z"',
    b'"2024-01-01T12:00:00.123456789123+23:59"', b'"9999-12-31T23:59:59-23:59"', b'"2024-01-01"',
    b'"2024-13-01"', b"1704110400000", b"-62135596800001", b"1" * 40, b"1." + b"0" * 60,
    b'"1e9999"', b'"1e-9999"', b"-" + b"9" * 38, b"0." + b"1" * 39, b'" 1"', b'"\xc2\xa01"',
    "\"١٢\"".encode(),
    b"[" * 2_000 + b"]" * 2_000, b'{"a":' * 600 + b"1" + b"}" * 600, b'"' + b"x" * 100_000 + b'"',
)  # fmt: skip
_NAMES = ("t", "text", "flag", "whole", "real", "money", "when", "day", "list", "deep", "other")


def messages(rng: Random) -> Sequence[tuple[bytes | None, Headers]]:
    """A few messages with their headers."""
    return [(_message(rng), _headers(rng)) for _ in range(rng.randrange(12))]


def _message(rng: Random) -> bytes | None:
    """A message of JSON that is nearly right, or of bytes that are not."""
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice((None, rng.randbytes(rng.randrange(200))))
    if kind == 1:
        return rng.choice(_VALUES)
    names = rng.choices(_NAMES, k=rng.randrange(7))
    pairs = [b'"' + name.encode() + b'": ' + rng.choice(_VALUES) for name in names]
    if rng.randrange(4):
        pairs.append(b'"t": 1704110400000')
    data = b"{" + b", ".join(pairs) + b"}"
    for _ in range(rng.randrange(3) if kind < 5 else 0):
        at = rng.randint(0, len(data))
        new = rng.choice((rng.randbytes(rng.randrange(4)), rng.choice(_VALUES)))
        data = data[:at] + new + data[at + rng.randrange(5) :]
    return data


def _headers(rng: Random) -> Headers:
    """Headers of a message: those that fields read, there or not, once or twice."""
    values = (None, b"7", b"1e3", b"true", b"\xff", rng.randbytes(rng.randrange(12)))
    names = ("tenant", "size", "x", "")
    return [(rng.choice(names), rng.choice(values)) for _ in range(rng.randrange(4))]
