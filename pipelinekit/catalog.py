"""Finds the components — measures, codecs — by their files; the only list of them.

A measure is a file of pipelinekit/measures/ with a MEASURE of the file's name, a codec one of
pipelinekit/codecs/ with a `decoder`. Other distributions add theirs, under names of their own,
through the entry points of the group `pipelinekit.measures` and `pipelinekit.codecs`. Only what is
asked for is imported, and other distributions are looked through only for what isn't built in.
"""

from __future__ import annotations

import importlib
from functools import cache, lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipelinekit import codecs, measures

if TYPE_CHECKING:
    from pipelinekit.codecs.base import MakeDecoder
    from pipelinekit.measures.base import Measure


@lru_cache(maxsize=1)
def all_measures() -> dict[str, Measure]:
    """Every measure by its name in the language."""
    return dict(sorted({**_others(measures), **_built_in(measures, "MEASURE")}.items()))


@cache
def find_measure(name: str) -> Measure | None:
    """The measure of that name, or None."""
    measure: Measure | None = _component(measures, name, "MEASURE")
    return measure if measure is not None else all_measures().get(name)


def measure(name: str) -> Measure:
    """The measure of that name; KeyError if there is none."""
    found = find_measure(name)
    if found is None:
        raise KeyError(name)
    return found


@lru_cache(maxsize=1)
def all_codecs() -> dict[str, MakeDecoder]:
    """For every message format, what makes a decoder of given fields."""
    return dict(sorted({**_others(codecs), **_built_in(codecs, "decoder")}.items()))


def codec(name: str) -> MakeDecoder:
    """What makes a decoder of that format; KeyError if there is none."""
    make: MakeDecoder | None = _component(codecs, name, "decoder")
    return make if make is not None else all_codecs()[name]


def _component(package: ModuleType, name: str, attribute: str) -> Any:
    """What the package's file of that name offers, or None."""
    full_name = f"{package.__name__}.{name}"
    if not name.isidentifier() or find_spec(full_name) is None:
        return None
    return getattr(importlib.import_module(full_name), attribute, None)


def _built_in(package: ModuleType, attribute: str) -> dict[str, Any]:
    from pkgutil import iter_modules

    names = [module.name for module in iter_modules(package.__path__)]
    found = {name: _component(package, name, attribute) for name in names}
    return {name: component for name, component in found.items() if component is not None}


def _others(package: ModuleType) -> dict[str, Any]:
    """What other distributions offer."""
    from importlib.metadata import entry_points

    return {entry.name: entry.load() for entry in entry_points(group=package.__name__)}
