"""pydantic is kept from looking for plugins, and from loading what would look."""

from __future__ import annotations

import os
import subprocess
import sys

MODEL = """
import sys
from pipelinekit.cli.plugins import forgo_plugins
forgo_plugins()
import pydantic
class Model(pydantic.BaseModel):
    number: int
assert Model(number=1).number == 1
"""


def said(code: str, **variables: str) -> str:
    env = {k: v for k, v in os.environ.items() if k != "PYDANTIC_DISABLE_PLUGINS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env | variables, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_model_is_made_without_what_reads_metadata() -> None:
    assert said(MODEL + "print('importlib.metadata' in sys.modules)") == "False"


def test_plugins_that_the_user_leaves_in_are_looked_for() -> None:
    code = MODEL + "print('importlib.metadata' in sys.modules)"
    assert said(code, PYDANTIC_DISABLE_PLUGINS="one") == "True"


def test_what_stands_for_the_finder_makes_way_for_it() -> None:
    code = MODEL + (
        "from pydantic.plugin import _loader\n"
        "from pydantic.plugin._loader import PYDANTIC_ENTRY_POINT_GROUP\n"
        "print(PYDANTIC_ENTRY_POINT_GROUP, _loader.get_plugins())"
    )
    assert said(code) == "pydantic ()"
