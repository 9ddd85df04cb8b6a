"""Every code of a finding with its page: what it is, why it hurts, a bad and a good example.

`pipelinekit explain CODE` prints a page; tests check that each code that the source text names
is here and that each page is complete.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """One code's page; `bad` and `good` are YAML."""

    code: str
    title: str
    why: str
    bad: str
    good: str


_PAGES = (
    Page("PK001", "the file is not YAML",
         "A file that can't be parsed says nothing; often a quote or bracket isn't closed, a tab "
         "indents, or a value holds a colon without quotes.",
         "filter: a: b", "filter: \"a = 'b'\""),
    Page("PK002", "the file is too large or too deep",
         "A spec is written by people: 256 kB, 32 levels and 20,000 values are far more than one "
         "needs. More is a mistake or an attack.",
         "measures: [[[[…]]]]", "measures: { views: count() }"),
    Page("PK003", "the file is empty or no mapping",
         "A spec is a mapping of keys that starts with kind and name.",
         "- kind: metric", "kind: metric"),
    Page("PK004", "several documents in one file",
         "One file is one spec, found by its name; a second document would be overlooked.",
         "kind: metric\n---\nkind: metric", "kind: metric"),
    Page("PK005", "anchors, aliases and merge keys are not taken",
         "They make a reader look elsewhere for what a line says, and a few lines can blow up into "
         "gigabytes.",
         "a: &x 1\nb: *x", "a: 1\nb: 1"),
    Page("PK006", "tags and endless numbers are not taken",
         "Keys have their types; a tag would change them behind the reader's back. .inf and .nan "
         "are no values of any key.",
         "version: !!str 1", "version: 1"),
    Page("PK007", "a key is there twice",
         "YAML readers differ on which one counts. Keep one.",
         "version: 1\nversion: 2", "version: 2"),
    Page("PK008", "a key is not a text",
         "Names are texts; 1: and [a]: are something else in YAML.",
         "1: count()", "one: count()"),
    Page("PK009", "an unquoted comma splits a value in braces",
         "Inside { } a comma ends the value, so sum(a, b) becomes two entries.",
         "views: { measure: approx_quantile(load_ms, 0.95) }",
         "views: { measure: \"approx_quantile(load_ms, 0.95)\" }"),
    Page("PK010", "a # cuts the value",
         "After a blank, # starts a comment even in the middle of what looks like a text.",
         "filter: page = '/a #b'", "filter: \"page = '/a #b'\""),
    Page("PK100", "the kind of file is missing or unknown",
         "kind says what a file is: source, sink, metric or test.",
         "kind: measure", "kind: metric"),
    Page("PK101", "an unknown key",
         "A key that nothing reads is a typing error or a wish; taking it silently would hide "
         "either.",
         "kind: metric\ndimensions: [country]", "kind: metric\nkey: [country]"),
    Page("PK102", "a key is missing",
         "The spec can't be run without it, and there is no default that would suit everyone.",
         "kind: metric\nname: views\nsource: user_events", "window: { tumbling: 1m }"),
    Page("PK103", "a value is not one of the possible ones",
         "The key takes one of a few words.", "manage: all", "manage: full"),
    Page("PK104", "a value has another type",
         "The key wants a text, a number, a list or a mapping, and got something else.",
         "version: one", "version: 1"),
    Page("PK105", "a name breaks the rule for names",
         "Names become tables and columns in several stores: small letters, digits and single "
         "underscores, 48 at most, and not the endings that grains and versions have.",
         "name: page_views_1m", "name: page_views"),
    Page("PK106", "a list or mapping is empty",
         "Something has to be in it.", "measures: {}", "measures: { views: count() }"),
    Page("PK107", "a name is there twice",
         "Names are unique in a project, whatever the folder.",
         "name: views   # also in metrics/a/views.yaml", "name: app_views"),
    Page("PK108", "the file isn't named after its spec",
         "A spec is found by its file: metrics/growth/views.yaml holds views.",
         "name: clicks   # in views.yaml", "name: views   # in views.yaml"),
    Page("PK109", "two columns of a table have one name",
         "Key, window and measures stand side by side in the table.",
         "key: [country]\nmeasures: { country: count() }",
         "key: [country]\nmeasures: { views: count() }"),
    Page("PK110", "the language has it, this version does not build it",
         "The name is reserved so that specs won't change their meaning later. Until then it is "
         "refused rather than ignored.",
         "window: { session: 30m }", "window: { tumbling: 30m }"),
    Page("PK111", "a grain is there twice",
         "The window and each rollup have a table of their own.",
         "window: { tumbling: 1h }\nrollups: [1h]", "window: { tumbling: 1m }\nrollups: [1h]"),
    Page("PK112", "all measures are hidden",
         "The table would have no column to read.",
         "measures: { views: { measure: count(), hidden: true } }",
         "measures: { views: count() }"),
    Page("PK200", "the text is not an expression",
         "Expressions are a closed subset of SQL's scalar syntax.",
         "filter: event_type == 'view'", "filter: event_type = 'view'"),
    Page("PK201", "an unknown field or measure",
         "Expressions read the fields that the source declares; derived measures read the metric's "
         "other measures.",
         "filter: contry = 'BE'", "filter: country = 'BE'"),
    Page("PK202", "an unknown function",
         "Only functions that give the same answer on every engine are in the language.",
         "filter: ifnull(country, '') = 'BE'", "filter: coalesce(country, '') = 'BE'"),
    Page("PK203", "types don't fit",
         "A text is no number: what engines would guess differently is refused.",
         "filter: load_ms = 'slow'", "filter: load_ms > 1000"),
    Page("PK204", "an unknown measure",
         "A measure must be mergeable; the list is short on purpose.",
         "views: cout()", "views: count()"),
    Page("PK205", "a written argument is out of range",
         "Units, patterns, zones and places are written out, and must exist.",
         "key: [{ name: h, expr: \"date_trunc('hours', occurred_at)\" }]",
         "key: [{ name: h, expr: \"date_trunc('hour', occurred_at)\" }]"),
    Page("PK206", "a regular expression beyond the common subset",
         "Look-around and back-references don't exist in RE2, which the stores use.",
         "filter: regexp_match(page, '(?=/p)')", "filter: regexp_match(page, '^/p')"),
    Page("PK207", "a measure needs one of measure, expr and ratio",
         "It is aggregated from events, or derived from other measures.",
         "views: { filter: \"event_type = 'view'\" }",
         "views: { measure: count(), filter: \"event_type = 'view'\" }"),
    Page("PK208", "first and last need the source's id",
         "Two events of one millisecond need an order that doesn't depend on arrival.",
         "# a source without id:\nmeasures: { page: last(page) }", "id: event_id"),
    Page("PK209", "max_values is missing or has no use",
         "count_distinct keeps every value: the bound says when it gives up (null, never a wrong "
         "number).",
         "users: count_distinct(user_id)",
         "users: { measure: count_distinct(user_id), max_values: 10000 }"),
    Page("PK210", "derived measures read each other in a circle",
         "Each must be computable from the ones before it.",
         "a: { expr: b + 1 }\nb: { expr: a + 1 }", "a: count()\nb: { expr: a + 1 }"),
    Page("PK211", "an option that derived measures don't take",
         "A derived measure has no events of its own to filter.",
         "rate: { ratio: [a, b], filter: \"country = 'BE'\" }", "rate: { ratio: [a, b] }"),
    Page("PK300", "not a duration",
         "A duration is a whole number and its unit: ms, s, m, h, d or w; 366d at most.",
         "lateness: { allowed: 10 }", "lateness: { allowed: 10m }"),
    Page("PK301", "a length that windows can't have",
         "Below a day a window divides the day, so that it starts at the same time each day; from "
         "a day on it is a calendar one.",
         "window: { tumbling: 7m }", "window: { tumbling: 5m }"),
    Page("PK302", "a rollup is not made of whole windows",
         "Coarser rows are sums of finer ones, so each finer window must lie in one coarser.",
         "window: { tumbling: 1h }\nrollups: [10m]", "window: { tumbling: 10m }\nrollups: [1h]"),
    Page("PK303", "a time zone that doesn't exist or has no use",
         "Zones are names such as Europe/Brussels, and go with days, weeks and months.",
         "window: { tumbling: 1m, timezone: Europe/Brussels }",
         "window: { tumbling: 1d, timezone: Europe/Brussels }"),
    Page("PK304", "emit.early is too short or too long",
         "Below 50 ms the writes cost more than they show; beyond the window nothing is early.",
         "emit: { early: 10ms }", "emit: { early: 200ms }"),
    Page("PK305", "rows leave less often than the objective allows",
         "slo.latency_p99 can't be met when a row waits longer than that before it leaves.",
         "emit: { early: 2s }\nslo: { latency_p99: 500ms }",
         "emit: { early: 200ms }\nslo: { latency_p99: 500ms }"),
    Page("PK306", "lateness is shorter than the source's disorder",
         "Such a lateness corrects almost nothing.",
         "lateness: { allowed: 1s }   # out_of_orderness: 2s", "lateness: { allowed: 10m }"),
    Page("PK401", "not a type",
         "Types are string, bool, int, float, decimal(p,s), timestamp, date and list<T>.",
         "fields: { amount: money }", "fields: { amount: \"decimal(18,2)\" }"),
    Page("PK402", "the source doesn't exist", "source names a file of sources/.",
         "source: user_event", "source: user_events"),
    Page("PK403", "the type of the sink is missing or unknown",
         "Its type says what the other keys are.", "type: clickhous", "type: clickhouse"),
    Page("PK404", "the sink doesn't exist", "sink names a file of sinks/.",
         "sink: warehose", "sink: warehouse"),
    Page("PK405", "a variable that isn't the whole value",
         "${NAME} stands for a whole value; pieces of one would be a template language.",
         "url: http://${HOST}:8123", "url: ${CLICKHOUSE}"),
    Page("PK406", "event_time.field is no required timestamp",
         "Without its time an event belongs to no window.",
         "event_time: { field: event_type }", "event_time: { field: occurred_at }"),
    Page("PK407", "a password in clear",
         "Specs are kept in version control; whoever reads them would have it.",
         "password: hunter2", "password: { secret: CLICKHOUSE_PASSWORD }"),
    Page("PK408", "the id is no required string or int",
         "It orders events of one millisecond, so each event must have one.",
         "id: amount", "id: event_id"),
    Page("PK409", "a field that can't be read as it says",
         "Its default, unit or path contradicts its type or another field.",
         "load_ms: { type: int, default: slow }", "load_ms: { type: int, default: 0 }"),
    Page("PK410", "a topic's name breaks Kafka's rule",
         "Letters, digits, dots, underscores and dashes, 249 at most; dead letters have a topic of "
         "their own.",
         "topic: user events", "topic: user_events"),
    Page("PK411", "refused events go nowhere",
         "Without a topic for dead letters they are counted in the ledger and then lost.",
         "# a source without dead_letters", "dead_letters: { topic: late_events }"),
    Page("PK600", "a metric without tests",
         "A filter or a lateness rule that no test shows is a guess.",
         "# a metric without tests", "tests: [{ name: …, steps: […] }]"),
    Page("PK601", "tests of a metric that doesn't exist",
         "A test file names the metric that it is of.", "kind: test\nmetric: view",
         "kind: test\nmetric: views"),
    Page("PK602", "a step says more than one thing, or nothing",
         "Steps happen one after the other; two in one would have no order.",
         "- { watermark: \"12:01:00\", advance: 1s }",
         "- watermark: \"12:01:00\"\n- advance: 1s"),
    Page("PK603", "an event of a test doesn't fit the source",
         "It carries its time and fields that the source declares.",
         "- events: [{ event_type: view }]",
         "- events: [{ occurred_at: \"12:00:05\", event_type: view }]"),
)  # fmt: skip

PAGES: dict[str, Page] = {page.code: page for page in _PAGES}


def page_text(page: Page) -> str:
    """The page as `explain` prints it."""
    bad = "\n".join(f"    {line}" for line in page.bad.splitlines())
    good = "\n".join(f"    {line}" for line in page.good.splitlines())
    return f"{page.code}: {page.title}\n\n{page.why}\n\nNot so:\n\n{bad}\n\nBut so:\n\n{good}\n"
