"""The recipes of the images name the versions that the rest of the project has.

Building them takes images that not every machine reaches: docs/contributor/kubernetes.md.
"""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pipelinekit.runtime import flink_cluster

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPES = sorted((ROOT / "runners").rglob("*Dockerfile"))


def test_the_recipes_are_found() -> None:
    assert [str(r.relative_to(ROOT / "runners")) for r in RECIPES] == [
        "dataflow/Dockerfile", "flink/Dockerfile", "flink/workers.Dockerfile",
    ]  # fmt: skip


def test_flink_s_image_is_of_the_version_that_the_manifests_name() -> None:
    text = (ROOT / "runners/flink/Dockerfile").read_text()
    assert f"FROM flink:{flink_cluster.VERSION}-java17" in text


def test_dataflow_s_image_is_of_the_pinned_beam() -> None:
    (beam,) = [d for d in PROJECT["optional-dependencies"]["beam"] if d.startswith("apache-beam")]
    text = (ROOT / "runners/dataflow/Dockerfile").read_text()
    assert f"FROM apache/beam_python3.11_sdk:{beam.removeprefix('apache-beam==')}\n" in text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.parent.name + "-" + r.stem)
def test_what_a_recipe_takes_is_there_and_not_left_out(recipe: Path) -> None:
    taken = re.findall(r"^COPY (?!--from)(.+) \S+$", recipe.read_text(), re.MULTILINE)
    assert taken
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for source in " ".join(taken).split():
        assert (ROOT / source).exists()
        if source != ".":
            assert any(fnmatch(source, pattern) for k in kept for pattern in (k, f"{k}/*"))


@pytest.mark.parametrize("recipe", ["dataflow/Dockerfile", "flink/workers.Dockerfile"])
def test_python_images_have_what_the_lock_pins_and_the_extras_of_a_worker(recipe: str) -> None:
    text = (ROOT / "runners" / recipe).read_text()
    assert set(re.findall(r"--extra (\w+)", text)) == {"engine", "kafka", "clickhouse", "beam"}
    assert set(re.findall(r"--extra (\w+)", text)) <= set(PROJECT["optional-dependencies"])
    assert "--frozen" in text
    (uv,) = re.findall(r"uv==([\d.]+)", text)
    assert f"UV_VERSION := {uv}\n" in (ROOT / "Makefile").read_text()
