"""Finds the components — measures, codecs — by their files; the only list of them.

A measure is a file of pipelinekit/measures/ with a MEASURE, a codec one of pipelinekit/codecs/
with a `decoder`. Other distributions add theirs through the entry points of the group
`pipelinekit.measures` and `pipelinekit.codecs`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import entry_points

from pipelinekit import codecs, measures
from pipelinekit.codecs.base import Decoder, FieldSpec
from pipelinekit.measures.base import Measure

MakeDecoder = Callable[[Sequence[FieldSpec], str], Decoder]


@lru_cache(maxsize=1)
def all_measures() -> dict[str, Measure]:
    """Every measure by its name in the language."""
    found: dict[str, Measure] = {}
    for module in pkgutil.iter_modules(measures.__path__):
        loaded = importlib.import_module(f"{measures.__name__}.{module.name}")
        if (measure := getattr(loaded, "MEASURE", None)) is not None:
            found[measure.name] = measure
    for entry in entry_points(group="pipelinekit.measures"):
        measure = entry.load()
        found[measure.name] = measure
    return dict(sorted(found.items()))


def measure(name: str) -> Measure:
    """The measure of that name; KeyError if there is none."""
    return all_measures()[name]


@lru_cache(maxsize=1)
def all_codecs() -> dict[str, MakeDecoder]:
    """For every message format, what makes a decoder of given fields."""
    found: dict[str, MakeDecoder] = {}
    for module in pkgutil.iter_modules(codecs.__path__):
        loaded = importlib.import_module(f"{codecs.__name__}.{module.name}")
        if (decoder := getattr(loaded, "decoder", None)) is not None:
            found[module.name] = decoder
    for entry in entry_points(group="pipelinekit.codecs"):
        found[entry.name] = entry.load()
    return dict(sorted(found.items()))


def codec(name: str) -> MakeDecoder:
    """What makes a decoder of that format; KeyError if there is none."""
    return all_codecs()[name]
