"""What the local runner's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.local.jobs import Job


@pytest.fixture
def job(kafka, make_topic, tmp_path: Path) -> Job:
    return Job(kafka, make_topic, tmp_path / "state")
