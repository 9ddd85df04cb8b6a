"""The registers of a distinct count: a dictionary while few are taken, then an array of all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Ranks = dict[int, int] | np.ndarray
_DENSE_FROM = 128  # an entry takes some 100 bytes, a place one


def merged_ranks(held: Ranks | None, added: Ranks, places: int) -> Ranks:
    """The greatest rank of each place; `held` may be changed, `added` is not."""
    if held is None:
        held = dict(added) if isinstance(added, dict) else added.copy()
    elif isinstance(held, dict) and isinstance(added, dict):
        for place, rank in added.items():
            if held.get(place, 0) < rank:
                held[place] = rank
    else:
        import numpy as np

        held = np.maximum(_array(held, places), _array(added, places))
    if isinstance(held, dict) and len(held) * _DENSE_FROM > places:
        return _array(held, places)
    return held


def ranks_of(codes: Iterable[int]) -> dict[int, int]:
    """The greatest rank of each place among codes place · 64 + rank."""
    return {code >> 6: code & 63 for code in sorted(codes)}


def codes_of(ranks: Ranks) -> np.ndarray:
    """The inverse, int64 in order of place: equal ranks give equal codes, however they are held."""
    import numpy as np

    if isinstance(ranks, dict):
        return np.array([place << 6 | rank for place, rank in sorted(ranks.items())], np.int64)
    places = np.flatnonzero(ranks)
    return places << 6 | ranks[places]


def _array(ranks: Ranks, places: int) -> np.ndarray:
    import numpy as np

    if not isinstance(ranks, dict):
        return ranks
    array = np.zeros(places, dtype=np.uint8)
    array[list(ranks.keys())] = list(ranks.values())
    return array
