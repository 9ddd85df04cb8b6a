"""The cookbook as a reader uses it: copied into the project of `init`, and fed by `load`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelinekit.cli.main import cli
from pipelinekit.load.stream import ClickStream
from pipelinekit.plan.build import build
from pipelinekit.runtime.suite import Suite, run_suite
from pipelinekit.spec.models.testing import RawMessage, Step, TestSpec
from tests.docs.test_docs import ROOT, SPECS, found_in, key_of, write

PAGE = ROOT / "docs/analyst/cookbook.md"
RECIPES = {key_of(b.text, "name"): b for b in SPECS if b.page == PAGE}
NOON_MS = 1_704_110_400_000
EVERY_MS = 200
MESSAGES = 4_000  # 13 minutes; enough for sessions that go all the way


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `init` makes, and every recipe in it."""
    folder = tmp_path_factory.mktemp("cookbook") / "shop"
    assert asked("init", str(folder)).exit_code == 0
    for block in RECIPES.values():
        write(block, folder)
    return folder


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_all_recipes_together_are_valid_in_the_project_of_init_and_their_tests_pass(
    project: Path,
) -> None:
    validated = asked("validate", str(project), "-W", "error")
    assert validated.exit_code == 0, validated.output
    tested = asked("test", str(project))
    assert tested.exit_code == 0, tested.output
    assert f"{len(RECIPES) + 1} passed, 0 failed" in tested.output  # and the metric of `init`


@pytest.mark.parametrize("name", RECIPES)
def test_events_of_load_reach_all_that_a_recipe_counts(project: Path, name: str) -> None:
    resolved, errors = found_in(project / f"metrics/{name}.yaml", project)
    assert not errors
    stream = ClickStream()
    raw = [
        RawMessage(text=stream.message(n, NOON_MS + n * EVERY_MS).value.decode())
        for n in range(MESSAGES)
    ]
    steps = [
        Step(now="2024-01-01T12:14:00Z"),
        Step(raw=raw),
        Step(watermark="2024-01-02T06:00:00Z"),
    ]
    suite = Suite(build(resolved, {name})[0], (TestSpec(name=name, steps=steps),))
    reached = run_suite(suite, is_coverage=True).reached
    assert reached is not None
    never = [
        f"{branch.place}: {branch.what}"
        for branch, count in reached.items()
        if not count and (branch.what == "true" or "when" in branch.what)
    ]
    assert not never
