"""The job manager of these tests: one that answers what was recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.launch.fake_flink import FakeFlink, fake_flink


@pytest.fixture
def flink() -> Iterator[FakeFlink]:
    with fake_flink() as fake:
        yield fake
