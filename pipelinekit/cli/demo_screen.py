"""What the demo shows: tables read back from ClickHouse, refreshed in place on a terminal."""

from __future__ import annotations

import json
import urllib.request
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

    from pipelinekit.plan.model import MetricPlan, Plan
    from pipelinekit.runtime.local.runner import LocalRunner

_ROWS = 6
_PLAIN_EVERY = 5


class Screen:
    """A context manager: live tables inside it, plain lines where there is no terminal."""

    def __init__(self, plan: Plan, clickhouse: str, runner: LocalRunner, *, live: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._plan = plan
        self._url = clickhouse
        self._runner = runner
        self._console = Console(stderr=live, width=None if live else 110)
        self._live = Live(console=self._console, auto_refresh=False) if live else None
        self._calls = 0
        self._database = next(
            (str(s.settings["database"]) for s in plan.sinks if s.type == "clickhouse"), ""
        )

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def show(self, seconds_left: float) -> None:
        """Read back and draw."""
        self._calls += 1
        if self._live is not None:
            self._live.update(self._drawn(seconds_left), refresh=True)
        elif self._calls % _PLAIN_EVERY == 0:
            self._console.print(self._drawn(seconds_left))

    def summarise(self) -> None:
        """Print what is left at the end: states, corrections, dead letters, the ledger."""
        status = self._runner.status
        self._console.rule("what it came to")
        for metric in self._plan.metrics:
            states = self._query(
                "SELECT _state AS state, count() AS n, sum(_late) AS late "
                f"FROM {self._view(metric)} "
                "GROUP BY state ORDER BY state"
            )
            said = ", ".join(f"{row['n']} {row['state']}" for row in states) or "no rows"
            late = sum(int(row["late"]) for row in states)
            self._console.print(f"{metric.name}: {said}; {late} events came after their window")
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(status.dead_letters.items()))
        self._console.print(f"dead letters: {reasons or 'none'}")
        if status.latency is not None and (found := status.latency.percentiles()) is not None:
            self._console.print(
                f"event to row, {found.events:,} events of {status.latency.metric}: p50 "
                f"{found.p50:.0f} ms, p99 {found.p99:.0f} ms, greatest {found.greatest:.0f} ms"
            )
        stored = self._query(
            "SELECT outcome, sum(count) AS n FROM "
            f"{self._database}.pipelinekit_ledger FINAL WHERE metric = '' GROUP BY outcome "
            "ORDER BY outcome"
        )
        said = " + ".join(f"{int(row['n']):,} {row['outcome']}" for row in stored)
        verdict = "balances" if not status.imbalances else "DOES NOT BALANCE"
        self._console.print(f"the ledger {verdict}: {status.events:,} events read = {said}")

    # --- private ----------------------------------------------------------------------------

    def _drawn(self, seconds_left: float) -> Group:
        from rich.console import Group

        status = self._runner.status
        head = f"[{seconds_left:3.0f} s] {status.line(self._runner.clock.now_ms(), status.lag)}"
        tables = [self._table(metric) for metric in self._plan.metrics[:3]]
        return Group(head, *tables)

    def _table(self, metric: MetricPlan) -> RichTable:
        from rich.table import Table

        keys = [key.name for key in metric.key]
        measures = [m.name for m in metric.measures if not m.hidden][:4]
        columns = [*keys, *measures]
        rows = self._query(
            f"SELECT toString(window_start) AS window, {', '.join(columns)}, _late AS late, "
            f"_state AS state FROM {self._view(metric)} "
            f"ORDER BY _state = 'corrected' DESC, window_start DESC, _events DESC LIMIT {_ROWS}"
        )
        title = f"{metric.name}: {metric.description}"
        table = Table(title=title, title_justify="left", expand=False)
        for column in ("window", *columns, "late", "state"):
            table.add_column(column, justify="left" if column in ("window", *keys) else "right")
        for row in rows:
            values = [str(row["window"])[11:19]]
            values += ["∅" if row[c] is None else _short(row[c]) for c in columns]
            style = {"corrected": "yellow", "final": "green"}.get(str(row["state"]), "")
            table.add_row(*values, str(row["late"]), str(row["state"]), style=style)
        return table

    def _view(self, metric: MetricPlan) -> str:
        return f"{self._database}.{metric.name}"

    def _query(self, select: str) -> list[dict[str, Any]]:
        data = f"{select} FORMAT JSONEachRow".encode()
        with urllib.request.urlopen(self._url, data=data, timeout=10) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
