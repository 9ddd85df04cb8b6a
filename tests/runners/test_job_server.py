from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "runners" / "flink"


@pytest.mark.flink
def test_the_replaced_class_keeps_its_promises(flink) -> None:
    """The JUnit tests of the job server. `flink` is asked for so that a machine without Java or
    Maven skips this."""
    if shutil.which("mvn") is None:
        pytest.skip("the JUnit tests need Maven")
    command = ["mvn", "-q", "-B", "-f", str(PROJECT / "pom.xml"), "test"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
