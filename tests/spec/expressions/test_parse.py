from __future__ import annotations

from decimal import Decimal

import pytest

from pipelinekit.spec.expressions.parse import CODES, parse_expression, parse_measure
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.tokens import LENGTH_MAX
from pipelinekit.spec.expressions.tree import Call, Field, Literal
from pipelinekit.types import BOOL, FLOAT, INT, STRING, decimal_type
from tests.spec.expressions.fields import FIELDS

# Text, type, canonical text.
GOOD = [
    ("country", "string", "country"),
    ("42", "int", "42"),
    ("-9223372036854775808", "int", "-9223372036854775808"),
    ("0.05", "decimal(2,2)", "0.05"),
    ("12.50", "decimal(4,2)", "12.50"),
    ("1e3", "float", "1000.0e0"),
    ("'it''s'", "string", "'it''s'"),
    ("TRUE", "bool", "true"),
    ("null", "string", "null"),
    ("( (country) )", "string", "country"),
    ("load_ms + 1", "int", "load_ms + 1"),
    ("load_ms+bytes*2", "int", "load_ms + (bytes * 2)"),
    ("(load_ms+bytes)*2", "int", "(load_ms + bytes) * 2"),
    ("load_ms - bytes - 1", "int", "(load_ms - bytes) - 1"),
    ("load_ms / 2", "float", "load_ms / 2"),
    ("amount + tax", "decimal(15,4)", "amount + tax"),
    ("amount * tax", "decimal(18,6)", "amount * tax"),
    ("amount * 2", "decimal(31,2)", "amount * 2"),
    ("amount % 0.5", "decimal(12,2)", "amount % 0.5"),
    ("amount / tax", "float", "amount / tax"),
    ("total * total", "decimal(38,8)", "total * total"),
    ("score * 0.5", "float", "score * 0.5e0"),
    ("score + 1", "float", "score + 1"),
    ("-load_ms", "int", "-load_ms"),
    ("- - load_ms", "int", "-(-load_ms)"),
    ("load_ms - -5", "int", "load_ms - -5"),
    ("-(-5)", "int", "5"),
    ("-(-0)", "int", "0"),
    ("score > 0.5", "bool", "score > 0.5e0"),
    ("amount >= 9.99", "bool", "amount >= 9.99"),
    ("country <> 'BE'", "bool", "country != 'BE'"),
    ("is_bot = is_new", "bool", "is_bot = is_new"),
    ("not is_bot and is_new", "bool", "(not is_bot) and is_new"),
    ("not load_ms = 1", "bool", "not (load_ms = 1)"),
    ("is_bot or is_new and is_bot", "bool", "is_bot or (is_new and is_bot)"),
    ("is_bot and (is_new and is_bot)", "bool", "is_bot and is_new and is_bot"),
    (
        "event_type in ('view', 'click') and not is_bot",
        "bool",
        "(event_type in ('view', 'click')) and (not is_bot)",
    ),
    ("load_ms in (1, 2.5)", "bool", "load_ms in (1, 2.5)"),
    ("score in (1e0, 2.5)", "bool", "score in (1.0e0, 2.5e0)"),
    ("country not in ('BE')", "bool", "not (country in ('BE'))"),
    ("load_ms between 1 and 5 and is_bot", "bool", "(load_ms between 1 and 5) and is_bot"),
    ("load_ms not between 1 and 5", "bool", "not (load_ms between 1 and 5)"),
    (r"country like 'B\%%'", "bool", r"country like 'B\%%'"),
    ("country is null", "bool", "country is null"),
    ("tags IS NOT NULL", "bool", "not (tags is null)"),
    (
        "case when load_ms < 100 then 'fast' else 'slow' end",
        "string",
        "case when load_ms < 100 then 'fast' else 'slow' end",
    ),
    ("case when is_bot then 1 end", "int", "case when is_bot then 1 else null end"),
    (
        "case when is_bot then 1 else 0.5 end",
        "decimal(20,1)",
        "case when is_bot then 1 else 0.5 end",
    ),
    ("cast(load_ms as STRING)", "string", "cast(load_ms as string)"),
    ("cast(amount as decimal( 18 , 4 ))", "decimal(18,4)", "cast(amount as decimal(18,4))"),
    ("cast(cast(amount as float) * score as int)", "int", None),
    (
        "occurred_at >= timestamp '2024-01-31T12:00:00Z'",
        "bool",
        "occurred_at >= cast('2024-01-31T12:00:00Z' as timestamp)",
    ),
    ("day = date '2024-02-29'", "bool", "day = cast('2024-02-29' as date)"),
    ("Coalesce(device, 'unknown')", "string", "coalesce(device, 'unknown')"),
    ("coalesce(null, load_ms)", "int", "coalesce(null, load_ms)"),
    ("coalesce(score, 0.0)", "float", "coalesce(score, 0.0e0)"),
    ("coalesce(load_ms, amount)", "decimal(21,2)", "coalesce(load_ms, amount)"),
    ("nullif(amount, 0)", "decimal(12,2)", "nullif(amount, 0)"),
    ("greatest(load_ms, score)", "float", "greatest(load_ms, score)"),
    ("round(amount, 1)", "decimal(13,2)", "round(amount, 1)"),
    ("floor(score)", "float", "floor(score)"),
    ("length(trim(lower(country)))", "int", "length(trim(lower(country)))"),
    ("substring(country, 1, 2)", "string", "substring(country, 1, 2)"),
    ("split_part(device, '/', 2)", "string", "split_part(device, '/', 2)"),
    ("regexp_match(country, '^[A-Z]{2}$')", "bool", "regexp_match(country, '^[A-Z]{2}$')"),
    ("regexp_extract(device, 'v(\\d+)', 1)", "string", "regexp_extract(device, 'v(\\d+)', 1)"),
    (
        "date_trunc('hour', occurred_at, 'Europe/Brussels')",
        "timestamp",
        "date_trunc('hour', occurred_at, 'Europe/Brussels')",
    ),
    ("EXTRACT(Hour FROM occurred_at)", "int", "extract(hour from occurred_at)"),
]

# Text, code, the piece of the text that the problem points at.
BAD = [
    ("", "PK200", ""),
    ("  \n", "PK200", "  \n"),
    ("load_ms +", "PK200", "+"),
    ("load_ms bytes", "PK200", "bytes"),
    ("(load_ms", "PK200", "s"),
    ("load_ms)", "PK200", ")"),
    ("country = 'BE", "PK200", "'BE"),
    ("country = 'B''", "PK200", "'B''"),
    ('country = "BE"', "PK200", '"'),
    ("country = ‘BE’", "PK200", "‘"),
    ("соuntry = 'BE'", "PK200", "с"),
    ("country = 'a\x00b'", "PK200", "\x00"),
    ("country = 'a\ud800b'", "PK200", "\ud800"),
    ("load_ms\u00a0+ 1", "PK200", "\u00a0"),
    ("load_ms == 1", "PK200", "=="),
    ("load_ms && 1", "PK200", "&&"),
    ("country || device", "PK200", "||"),
    ("load_ms::float", "PK200", "::"),
    ("load_ms -- a comment", "PK200", "--"),
    ("load_ms /* a comment */", "PK200", "/*"),
    ("load_ms; drop", "PK200", ";"),
    ("user_events.load_ms", "PK200", "."),
    ("5.", "PK200", "5."),
    ("12abc", "PK200", "12abc"),
    (".5", "PK200", "."),
    ("*", "PK200", "*"),
    ("(select 1)", "PK200", "select"),
    ("load_ms in ()", "PK200", "in ()"),
    ("load_ms in 1", "PK200", "1"),
    ("is_bot is true", "PK200", "true"),
    ("1 < load_ms < 5", "PK200", "<"),
    ("load_ms = 1 is null", "PK200", "is"),
    ("is_bot = not is_new", "PK200", "not"),
    ("case load_ms when 1 then 2 end", "PK200", "load_ms"),
    ("case when is_bot then 1", "PK200", "1"),
    ("extract('hour', occurred_at)", "PK200", ","),
    ("sum(load_ms) over ()", "PK200", "over"),
    ("country ilike 'a'", "PK200", "ilike"),
    ("[1, 2]", "PK200", "["),
    ("(" * 100 + "1" + ")" * 100, "PK200", "("),
    ("+".join(["load_ms"] * 200), "PK200", None),
    ("a" * (LENGTH_MAX + 1), "PK200", "a" * LENGTH_MAX),
    ("countri = 'BE'", "PK201", "countri"),
    ("Country = 'BE'", "PK201", "Country"),
    ("1 + ms_load", "PK201", "ms_load"),
    ("now()", "PK202", "now"),
    ("lenght(country)", "PK202", "lenght"),
    ("1 + sum(load_ms)", "PK202", "sum"),
    ("country + 1", "PK203", "country + 1"),
    ("not is_bot and country", "PK203", "not is_bot and country"),
    ("amount + score", "PK203", "amount + score"),
    ("amount in (score)", "PK203", "amount in (score)"),
    ("country = 1", "PK203", "country = 1"),
    ("occurred_at > '2024-01-01'", "PK203", "occurred_at > '2024-01-01'"),
    ("tags = tags", "PK203", "tags = tags"),
    ("is_bot < is_new", "PK203", "is_bot < is_new"),
    ("country = null", "PK203", "country = null"),
    ("-country", "PK203", "-country"),
    ("country like device", "PK203", "country like device"),
    ("case when 1 then 2 end", "PK203", "case when 1 then 2 end"),
    ("case when is_bot then 1 else 'a' end", "PK203", "case when is_bot then 1 else 'a' end"),
    ("length()", "PK203", "length()"),
    ("length(country, 1)", "PK203", "length(country, 1)"),
    ("length(load_ms)", "PK203", "length(load_ms)"),
    ("round(load_ms, 'a')", "PK203", "round(load_ms, 'a')"),
    ("greatest(is_bot, is_new)", "PK203", "greatest(is_bot, is_new)"),
    ("cast(load_ms as integer)", "PK203", "integer"),
    ("cast(load_ms as decimal(99,1))", "PK203", "decimal(99,1)"),
    ("cast(tags as string)", "PK203", "cast(tags as string)"),
    ("0.12345678901234567890 * 0.12345678901234567890", "PK203", None),
    ("9223372036854775808", "PK205", "9223372036854775808"),
    ("-(-9223372036854775808)", "PK205", "-(-9223372036854775808)"),
    ("load_ms + 1e999", "PK205", "1e999"),
    ("0." + "1" * 39, "PK205", "0." + "1" * 39),
    ("timestamp '2024-13-01'", "PK205", "'2024-13-01'"),
    ("cast('yesterday' as date)", "PK205", "'yesterday'"),
    ("country like 'a\\d'", "PK205", "'a\\d'"),
    ("substring(country, 0)", "PK205", "0"),
    ("substring(country, load_ms)", "PK205", "load_ms"),
    ("substring(country, null)", "PK205", "null"),
    ("split_part(country, '', 1)", "PK205", "''"),
    ("round(score, 19)", "PK205", "19"),
    ("date_trunc('hours', occurred_at)", "PK205", "'hours'"),
    ("date_trunc('day', occurred_at, 'Mars/Base')", "PK205", "'Mars/Base'"),
    ("date_trunc('day', occurred_at, '../etc')", "PK205", "'../etc'"),
    ("extract(century from occurred_at)", "PK205", "century"),
    ("regexp_extract(country, '(a)', 2)", "PK205", "2"),
    ("regexp_match(country, device)", "PK205", "device"),
    ("regexp_match(country, '(?=a)')", "PK206", "'(?=a)'"),
    ("regexp_extract(country, '(a)\\1', 1)", "PK206", "'(a)\\1'"),
]


@pytest.mark.parametrize(("text", "kind", "canonical"), GOOD)
def test_expression_has_a_type_and_one_spelling(
    text: str, kind: str, canonical: str | None
) -> None:
    parsed = parse_expression(text, FIELDS)

    assert parsed.problems == ()
    assert parsed.expression is not None
    assert str(parsed.expression.type) == kind
    if canonical is not None:
        assert render(parsed.expression) == canonical
    assert parse_expression(render(parsed.expression), FIELDS) == parsed


@pytest.mark.parametrize(("text", "code", "piece"), BAD)
def test_problem_has_a_code_and_its_place(text: str, code: str, piece: str | None) -> None:
    parsed = parse_expression(text, FIELDS)

    assert parsed.expression is None
    (problem,) = parsed.problems
    assert problem.code == code
    if piece is not None:
        assert text[problem.start : problem.end] == piece


def test_every_code_has_a_line_of_its_own() -> None:
    shown = {code for _, code, _ in BAD}

    assert shown | {"PK204"} == set(CODES)  # PK204 is for the caller, who knows the measures


def test_all_problems_are_found_at_once() -> None:
    text = "countri = 'BE' and lenght(device) > 1 and load_ms + device = 2"

    problems = parse_expression(text, FIELDS).problems

    assert [(p.code, text[p.start : p.end], p.help) for p in problems] == [
        ("PK201", "countri", "did you mean country?"),
        ("PK202", "lenght", "did you mean length?"),
        ("PK203", "load_ms + device", "cast(x as int) reads a text"),
    ]


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("ifnull(country, 'x')", "did you mean coalesce?"),
        ("max(load_ms)", "write greatest(a, b) for the greatest of several values"),
        ("count(distinct country)", "use count_distinct(x) or approx_count_distinct(x)"),
        (
            "amount + score",
            "cast one of them: cast(x as float), or cast(x as decimal(18,4))",
        ),
        ("country = null", "write x is null"),
        ("cast(load_ms as bigint)", "did you mean int?"),
        ("cast(load_ms as decimal)", "did you mean decimal(18,4)?"),
        ("occurred_at > '2024'", "write the time as timestamp '2024-01-31T12:00:00Z'"),
        ("date_trunc('hours', occurred_at)", "did you mean hour?"),
        ("round(load_ms, 1, 2)", "write round(x, digits)"),
        ("1 = 2 = 3", "join comparisons with and, or put one in brackets"),
        ("is_bot and and is_new", "delete one of the two, or put a value between them"),
        ("load_ms + * 2", "delete one of the two, or put a value between them"),
        ("and is_bot", 'put a value before "and"'),
        ("is_bot and", 'put a value after "and"'),
        ("(is_bot and )", 'put a value before ")"'),
        ("count(*)", "count all events with count()"),
        ("()", "put an expression between the brackets"),
        ("(load_ms", "close the bracket with )"),
        ("load_ms)", "delete it, or open the bracket before"),
        ("length(country device)", "put an operator, a comma or ) before it"),
        ("is_bot is_new", "put an operator before it, such as and, = or +"),
        ("load_ms, 1", "delete it: one expression stands here"),
        ("is_bot then 1", "write case when condition then value else value end"),
        ("cast(load_ms int)", "write cast(x as int)"),
        ("load_ms not 1", "write x not in (…), x not between a and b, or x not like '…'"),
        ("load_ms in ()", "write x in ('a', 'b')"),
        ("", "write one, such as kind = 'view'"),
    ],
)
def test_help_names_the_next_step(text: str, help: str) -> None:
    assert parse_expression(text, FIELDS).problems[0].help == help


@pytest.mark.parametrize("text", [text for text, code, _ in BAD if code == "PK200"])
def test_what_is_no_expression_comes_with_a_next_step_unless_it_is_only_too_much(text: str) -> None:
    (problem,) = parse_expression(text, FIELDS).problems

    is_too_much = "levels deep" in problem.message or "are the most" in problem.message
    assert (problem.help is None) == is_too_much


def test_hostile_names_stay_short_in_messages_and_are_reported_twenty_at_most() -> None:
    text = " and ".join(f"{'x' * 100}{i}" for i in range(37))

    problems = parse_expression(text, FIELDS).problems

    assert len(problems) == 20
    assert all(len(p.message) < 80 for p in problems)


def test_a_field_named_like_a_keyword_is_not_read() -> None:
    assert parse_expression("case", {"case": INT}).expression is None


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("count()", "count", ()),
        ("Sum( amount )", "sum", (Field("amount", FIELDS["amount"]),)),
        (
            "approx_quantile(load_ms, 0.95)",
            "approx_quantile",
            (
                Field("load_ms", INT),
                Literal(Decimal("0.95"), decimal_type(2, 2)),
            ),
        ),
        (
            "count_distinct(coalesce(country, device))",
            "count_distinct",
            (Call("coalesce", (Field("country", STRING), Field("device", STRING)), STRING),),
        ),
        (
            "any_true(score > 1)",
            "any_true",
            (Call(">", (Field("score", FLOAT), Literal(1, INT)), BOOL),),
        ),
        ("cout(1)", "cout", (Literal(1, INT),)),
    ],
)
def test_measure_is_one_call_with_typed_arguments(
    text: str, name: str, arguments: tuple[object, ...]
) -> None:
    measure = parse_measure(text, FIELDS)

    assert measure.problems == ()
    assert (measure.name, measure.arguments) == (name, arguments)
    assert text[measure.start : measure.end].lower() == name


@pytest.mark.parametrize(
    ("text", "code", "piece"),
    [
        ("amount", "PK200", "amount"),
        ("sum(amount) / count()", "PK200", "sum(amount) / count()"),
        ("not is_bot", "PK200", "not is_bot"),
        ("(count())", "PK200", "(count())"),
        ("cast(amount as int)", "PK200", "cast(amount as int)"),
        ("count(*)", "PK200", "*"),
        ("histogram(load_ms, [])", "PK200", "[]"),
        ("histogram(load_ms, [1, 'a'])", "PK203", "[1, 'a']"),
        ("histogram(load_ms, [[1]])", "PK200", "["),
        ("histogram(load_ms + [1])", "PK200", "["),
        ("histogram(load_ms, [1, 2)", "PK200", ")"),
        ("histogram(load_ms, 1])", "PK200", "]"),
        ("histogram(load_ms, [1, loadms])", "PK201", "loadms"),
        ("sum(count(load_ms))", "PK202", "count"),
        ("sum(amnt)", "PK201", "amnt"),
    ],
)
def test_what_is_no_measure_is_a_problem(text: str, code: str, piece: str) -> None:
    (problem,) = parse_measure(text, FIELDS).problems

    assert (problem.code, text[problem.start : problem.end]) == (code, piece)
