"""What `run` says at its end."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelinekit.cli.run import _summarise
from pipelinekit.engine.key_values import KeyCount, KeyTotals
from pipelinekit.plan.model import KeyPlan
from pipelinekit.runtime.local.status import Status
from tests import plans


def test_what_went_beyond_a_limit_is_named_even_if_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = KeyPlan("page", plans.expression("kind"), max_values=1_000)
    totals = KeyTotals([plans.metric("hits", [plans.measure("n", "count()")], key=[key])])
    totals.add(0, [KeyCount("hits", "page", start, start + 60_000, 1_500) for start in (0, 60_000)])
    _summarise(Status(overflows=Counter({"users.n": 3}), key_totals=totals), quiet=True)
    assert capsys.readouterr().err.splitlines() == [
        "  users.n is null in 3 rows: it went beyond its limit",
        "  hits.page has more than 1,000 values in 2 windows: 1,500 in the fullest",
    ]
