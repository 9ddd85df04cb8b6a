from __future__ import annotations

import subprocess
import sys

CODE = """
import gc
from pipelinekit.runtime.collector import THRESHOLDS, settle_collector
settle_collector()
print(gc.get_threshold() == THRESHOLDS, gc.get_freeze_count() > 0, gc.isenabled())
"""


def test_collector_stays_on_and_leaves_what_is_loaded_alone() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True", "True"]
