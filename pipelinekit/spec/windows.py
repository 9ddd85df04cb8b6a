"""A window as written → the window."""

from __future__ import annotations

import re
from functools import cache

from pipelinekit.spec.document import Entries, Path
from pipelinekit.spec.models.metric import MetricSpec, WindowSpec
from pipelinekit.spec.notes import Notes
from pipelinekit.units import DAY_MS, WEEK_MS, format_duration, parse_duration_ms
from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import CalendarSliding, Sliding
from pipelinekit.windows.tumbling import CALENDAR_UNITS, CalendarTumbling, Tumbling

# Each kind of window, by the key that names it, with what else it takes.
WINDOW_KEYS: dict[str, tuple[str, ...]] = {
    "tumbling": ("timezone",),
    "sliding": ("every", "timezone"),
    "session": ("max",),
    "cumulative": ("every", "timezone"),
}
_SLIDES_MAX = 360  # 1h every 10s; beyond it each event costs too much
_SESSION_MAX = "12h"
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_NOT_ZONES = ("posix", "right/", "localtime", "Factory")  # what else lies in the folder of zones
_CALENDAR_MS = {DAY_MS: "1d", WEEK_MS: "1w"}


def grains_of(spec: MetricSpec, notes: Notes) -> tuple[Window, ...]:
    """The metric's window and its rollups, without those that have findings."""
    found = [window_of(spec.window, notes)]
    found += [
        _tumbling(rollup.size, rollup.timezone, ("rollups", place, "size"), notes)
        for place, rollup in enumerate(spec.rollups)
    ]
    return tuple(window for window in found if window is not None)


def window_of(spec: WindowSpec, notes: Notes) -> Window | None:
    """The window, or None and why not noted."""
    given = [kind for kind in WINDOW_KEYS if getattr(spec, kind) is not None]
    node = notes.loaded.document.node(("window",))
    if isinstance(node, Entries) and not node.nodes.keys() <= WindowSpec.model_fields.keys():
        return None  # the unknown key is a finding already
    if len(given) != 1:
        said = " and ".join(given) or "none"
        message = f"a window is one of {', '.join(WINDOW_KEYS)}, and this names {said}"
        notes.add("PK350", message, ("window",), "keep one, such as { tumbling: 1m }")
        return None
    kind = given[0]
    for option in ("every", "max", "timezone"):
        if getattr(spec, option) is not None and option not in WINDOW_KEYS[kind]:
            other = " or ".join(k for k, takes in WINDOW_KEYS.items() if option in takes)
            message = f"{option} goes with {other}, and this window is {kind}"
            notes.add("PK350", message, ("window", option), "leave it out")
            return None
    match kind:
        case "sliding":
            return _sliding(spec, notes)
        case "session":
            return _session(spec, notes)
        case "cumulative":
            return _cumulative(spec, notes)
        case _:
            return _tumbling(spec.tumbling or "", spec.timezone, ("window", "tumbling"), notes)


def _sliding(spec: WindowSpec, notes: Notes) -> Window | None:
    size_ms = _length(spec.sliding, "sliding", notes)
    every_ms = _length(spec.every, "every", notes)
    has_zone = _is_zone(spec.timezone, ("window", "timezone"), notes)
    if size_ms is None or every_ms is None or not has_zone:
        return None
    size, every = format_duration(size_ms), format_duration(every_ms)
    at: Path = ("window", "every")
    if size_ms % every_ms or every_ms == size_ms:
        message = f"every is {every}, which does not divide {size} into several"
        notes.add("PK301", message, at, "take a length that does; one each is a tumbling window")
        return None
    if size_ms // every_ms > _SLIDES_MAX:
        message = f"{size} every {every} puts each event into {size_ms // every_ms} windows"
        notes.add("PK301", message, at, f"take at most {_SLIDES_MAX}: a longer every")
        return None
    if size_ms % DAY_MS == 0 and every_ms % DAY_MS == 0:
        return CalendarSliding(size_ms // DAY_MS, every_ms // DAY_MS, spec.timezone or "UTC")
    if DAY_MS % every_ms:
        message = (
            f"every is {every}, which does not divide a day: windows would start at other times"
        )
        notes.add("PK301", message, at, "take a length that divides 24 h, or whole days")
        return None
    if spec.timezone is not None:
        message = f"a window of {size} every {every} lies in UTC"
        notes.add("PK303", message, ("window", "timezone"), "a time zone goes with whole days")
        return None
    return Sliding(size_ms, every_ms)


def _session(spec: WindowSpec, notes: Notes) -> Window | None:
    gap_ms = _length(spec.session, "session", notes)
    max_ms = _length(spec.max or _SESSION_MAX, "max", notes)
    if gap_ms is None or max_ms is None:
        return None
    if gap_ms >= max_ms:
        message = f"a gap of {format_duration(gap_ms)} is not below max, {format_duration(max_ms)}"
        path: Path = ("window", "max" if spec.max is not None else "session")
        notes.add("PK301", message, path, "take a longer max: sessions are cut at its multiples")
        return None
    return Session(gap_ms, max_ms)


def _cumulative(spec: WindowSpec, notes: Notes) -> Window | None:
    period = _tumbling(spec.cumulative or "", spec.timezone, ("window", "cumulative"), notes)
    every_ms = _length(spec.every, "every", notes)
    if every_ms is None or not isinstance(period, Tumbling | CalendarTumbling):
        return None
    whole_ms = period.size_ms if isinstance(period, Tumbling) else DAY_MS
    if whole_ms % every_ms or every_ms == period.approximate_ms:
        message = f"every is {format_duration(every_ms)}, which does not divide {period.suffix}"
        notes.add("PK301", message, ("window", "every"), "take a shorter one, such as 1m")
        return None
    return Cumulative(period, every_ms)


def _length(text: str | None, option: str, notes: Notes) -> int | None:
    """A length of the window in ms, or None and why not noted."""
    if text is None:
        message = f"the window has no {option}"
        notes.add("PK350", message, ("window",), f"add {option}: how long, such as 10s")
        return None
    try:
        length_ms = parse_duration_ms(text)
    except ValueError:
        message = f'"{text[:60]}" is no length: a whole number and one of ms s m h d w'
        notes.add("PK300", message, ("window", option), "write it as 10s, 1m or 1h")
        return None
    if length_ms == 0:
        notes.add("PK301", f"{text} is no length", ("window", option), "take 1s or more")
        return None
    return length_ms


def _is_zone(timezone: str | None, path: Path, notes: Notes) -> bool:
    if timezone is None or _exists(timezone):
        return True
    help = "write it as Europe/Brussels"
    notes.add("PK303", f'"{timezone[:60]}" is no time zone', path, help)
    return False


def _tumbling(size: str, timezone: str | None, path: Path, notes: Notes) -> Window | None:
    zone_path = (*path[:-1], "timezone")
    if not _is_zone(timezone, zone_path, notes):
        return None
    if size in CALENDAR_UNITS:
        return CalendarTumbling(size, timezone or "UTC")
    try:
        size_ms = parse_duration_ms(size)
    except ValueError:
        message = f'"{size[:60]}" is no length: a whole number and one of ms s m h d w, or 1mo'
        notes.add("PK300", message, path, "write it as 10s, 1m, 1h, 1d, 1w or 1mo")
        return None
    if size_ms in _CALENDAR_MS:
        return CalendarTumbling(_CALENDAR_MS[size_ms], timezone or "UTC")
    if size_ms > DAY_MS or size_ms == 0:
        message = f"{size} is no window: below a day any length that divides it, else a calendar's"
        notes.add("PK301", message, path, "take 1m, 1h, 1d, 1w or 1mo")
        return None
    if DAY_MS % size_ms:
        message = f"{size} does not divide a day: windows would start at other times each day"
        notes.add("PK301", message, path, "take a length that divides 24 h")
        return None
    if timezone is not None:
        message = f"a window of {size} lies in UTC"
        notes.add("PK303", message, zone_path, "a time zone goes with 1d, 1w and 1mo")
        return None
    return Tumbling(size_ms)


@cache
def _exists(timezone: str) -> bool:
    """Whether it is the name of a zone. To list them all takes as long as the rest of a check."""
    from zoneinfo import ZoneInfo

    if not _ZONE.fullmatch(timezone) or timezone.startswith(_NOT_ZONES):
        return False
    try:
        ZoneInfo(timezone)
    except (KeyError, OSError, ValueError):  # no such file; a folder; a file that is no zone
        return False
    return True
