"""How many values of a key a window holds: what a key's `max_values` is held against.

A bucket counts its own as they are merged (`KeyCounter`); whoever sees all buckets adds them up
(`KeyTotals`). None of it is state: it is read off the panes. (docs/decisions/0060)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipelinekit.engine.pane import Key, Pane, PaneId
from pipelinekit.plan.model import MetricPlan


class KeyCount(NamedTuple):
    """One bucket's values of a key in the window that starts there; of sessions between two cuts.

    `until_ms`: the watermark from which on nothing is added.
    """

    metric: str
    key: str
    start_ms: int
    until_ms: int
    values: int


@dataclass(slots=True)
class Excess:
    """What went beyond a key's limit: in how many windows, and the most values found in one."""

    limit: int
    windows: int = 0
    most: int = 0


@dataclass(slots=True)
class _Window:
    """What is known of a window, by the watched key's place in the metric's key.

    `values` are those met so far; of sessions, which end, `open` says how many have which.
    `seen`: how many of a pane's keys are among them. `now`: the counts, by the key's name.
    """

    until_ms: int
    values: dict[int, set[Any]] = field(default_factory=dict)
    open: dict[int, Counter[Any]] = field(default_factory=dict)
    seen: dict[PaneId, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)


class KeyCounter:
    """Counts one metric's values of its watched keys, those with a `max_values`, in one bucket."""

    @staticmethod
    def of(metric: MetricPlan) -> KeyCounter | None:
        """None if nothing is watched, or the metric is an older form of one that is."""
        is_watched = any(key.max_values is not None for key in metric.key)
        return KeyCounter(metric) if is_watched and not metric.is_retired else None

    def __init__(self, metric: MetricPlan) -> None:
        self._metric = metric.name
        self._watched = {
            place: key.name for place, key in enumerate(metric.key) if key.max_values is not None
        }
        self._is_one = len(metric.key) == 1
        self._allowed_ms = metric.allowed_lateness_ms
        self._windows: dict[int, _Window] = {}
        self._news: dict[tuple[int, str], KeyCount] = {}

    def take(self) -> list[KeyCount]:
        """The counts that changed since the last call; where sessions ended, the most since."""
        taken, self._news = self._news, {}
        for (start_ms, name), count in taken.items():
            window = self._windows.get(start_ms)
            if window is not None and window.now[name] < count.values:  # fewer by now: next time
                self._news[(start_ms, name)] = count._replace(values=window.now[name])
        return list(taken.values())

    def forget(self, watermark_ms: int) -> None:
        """Let go of windows that nothing is added to any more."""
        for start_ms, window in list(self._windows.items()):
            if window.until_ms <= watermark_ms:
                del self._windows[start_ms]

    def start_over(self) -> None:
        """Count anew: what the panes hold came in another way."""
        self._windows.clear()

    # --- what the grains say ------------------------------------------------------------------

    def grew(self, pane: Pane) -> None:
        """The pane, which is a window, may hold more keys than before."""
        if self._is_one:  # a row a value
            window = self._window(pane.id.start_ms, pane.end_ms)
            self._say(window, pane.id.start_ms, 0, len(pane))
        else:
            self.part_grew(pane, pane.id.start_ms, pane.end_ms, lambda: (pane,))

    def part_grew(
        self, pane: Pane, start_ms: int, end_ms: int, every: Callable[[], Iterable[Pane]]
    ) -> None:
        """The same of a pane that is a part of the window; `every` gives all its parts.

        Costs the keys that the pane got since, which it has at its end.
        """
        window = self._window(start_ms, end_ms)
        for part in (pane,) if window.seen else every():
            new = part.keys[window.seen.get(part.id, 0) :]
            window.seen[part.id] = len(part)
            for place in self._watched if new else ():
                window.values.setdefault(place, set()).update(self._values(new, place))
        for place, values in window.values.items():
            self._say(window, start_ms, place, len(values))

    def opened(self, keys: Sequence[Key], start_ms: int, end_ms: int) -> None:
        """These keys have a session open between two cuts, and had none."""
        window = self._window(start_ms, end_ms)
        for place in self._watched:
            held = window.open.setdefault(place, Counter())
            held.update(self._values(keys, place))
            self._say(window, start_ms, place, len(held))

    def closed(self, key: Key, start_ms: int) -> None:
        """This key has none open any more."""
        window = self._windows.get(start_ms)
        if window is None:
            return
        for place, held in window.open.items():
            (value,) = self._values([key], place)
            held[value] -= 1
            if not held[value]:
                del held[value]
            self._say(window, start_ms, place, len(held))

    # --- private ------------------------------------------------------------------------------

    def _window(self, start_ms: int, end_ms: int) -> _Window:
        window = self._windows.get(start_ms)
        if window is None:
            window = self._windows[start_ms] = _Window(end_ms + self._allowed_ms)
        return window

    def _values(self, keys: Sequence[Key], place: int) -> Iterable[Any]:
        return keys if self._is_one else (key[place] for key in keys)

    def _say(self, window: _Window, start_ms: int, place: int, values: int) -> None:
        name = self._watched[place]
        if window.now.get(name) == values:
            return
        window.now[name] = values
        waiting = self._news.get((start_ms, name))
        if waiting is None or waiting.values < values:
            count = KeyCount(self._metric, name, start_ms, window.until_ms, values)
            self._news[(start_ms, name)] = count


class KeyTotals:
    """The buckets' counts of a job's metrics together, and what of them is beyond its limit.

    A key that is the whole key of its metric has each value in one bucket: their sum is exact. One
    of several columns has its values in many: the fullest bucket's count is what there is at least.
    """

    def __init__(self, metrics: Iterable[MetricPlan] = ()) -> None:
        current = [metric for metric in metrics if not metric.is_retired]
        self._limits = {
            (metric.name, key.name): key.max_values
            for metric in current
            for key in metric.key
            if key.max_values is not None
        }
        self._is_one = {metric.name: len(metric.key) == 1 for metric in current}
        self._windows: dict[tuple[str, str, int], tuple[int, dict[Any, int]]] = {}
        self._beyond: set[tuple[str, str, int]] = set()
        self.excesses: dict[str, Excess] = {}  # by metric.key

    def add(self, bucket: Any, counts: Iterable[KeyCount]) -> list[str]:
        """Take a bucket's counts; gives metric.key of each window that they took beyond."""
        crossed = []
        for count in counts:
            limit = self._limits.get((count.metric, count.key))
            if limit is None:
                continue
            window = (count.metric, count.key, count.start_ms)
            _, of = self._windows.setdefault(window, (count.until_ms, {}))
            of[bucket] = count.values
            total = sum(of.values()) if self._is_one[count.metric] else max(of.values())
            if total <= limit:
                continue
            name = f"{count.metric}.{count.key}"
            excess = self.excesses.setdefault(name, Excess(limit))
            excess.most = max(excess.most, total)
            if window not in self._beyond:
                self._beyond.add(window)
                excess.windows += 1
                crossed.append(name)
        return crossed

    def forget(self, watermark_ms: int) -> None:
        """Let go of windows that nothing is added to any more."""
        for window, (until_ms, _) in list(self._windows.items()):
            if until_ms <= watermark_ms:
                del self._windows[window]
                self._beyond.discard(window)
