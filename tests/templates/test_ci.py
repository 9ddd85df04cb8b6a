"""The CI templates, tried on the example project: their own commands are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cli.test_main import run as run_cli

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "templates/ci/specs.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
# A stand-in for GitHub's own program: notes what it was asked, knows one comment of ours or none.
GH = """\
#!/bin/sh
printf '%s\\n' "$*" >> "$GH_LOG"
case "$*" in *--paginate*) printf '%s' "$GH_COMMENT" ;; esac
"""


def yaml(file: Path) -> Any:
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))


def steps() -> dict[str, dict[str, Any]]:
    (job,) = yaml(WORKFLOW)["jobs"].values()
    return {step.get("name", step.get("uses")): step for step in job["steps"]}


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def git_status(folder: Path) -> list[str]:
    command = ["git", "status", "--short"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [line.split()[-1] for line in done.stdout.splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The example project as a pull request's checkout; nothing is changed yet."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "specs", folder / "specs")
    git(tmp_path, "init", "-q", "-b", "main", "checkout")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it was")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    return folder


def change(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / "specs/metrics" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    git(folder, "commit", "-q", "-a", "-m", "a change")


def run(name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step's command as GitHub does, the environment's expressions evaluated."""
    bin = folder.parent / "bin"
    bin.mkdir(exist_ok=True)
    (bin / "pipelinekit").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m pipelinekit.cli.main "$@"\n'
    )
    (bin / "gh").write_text(GH)
    for program in bin.iterdir():
        program.chmod(0o755)
    values = {**defaults(), "BASE": "main", "NUMBER": "7", "REPOSITORY": "us/specs", **variables}
    environment = {
        "PATH": f"{bin}:{os.environ['PATH']}", "GH_LOG": str(folder.parent / "gh.log"),
        "GH_COMMENT": "", "PYTHONPATH": str(ROOT), **values,
    }  # fmt: skip
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps()[name]["run"]],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def defaults() -> dict[str, str]:
    """The workflow's environment when no inputs are given: what stands after `||`.

    A variable of the repository is not set.
    """
    found = {}
    for name, text in yaml(WORKFLOW)["env"].items():
        form = r"\$\{\{ inputs\.\w+ \|\| (?:'(?P<text>.*)'|vars\.\w+) \}\}"
        expression = re.fullmatch(form, text)
        assert expression is not None, text
        found[name] = expression["text"] or ""
    return found


def test_good_change_passes_every_step_and_is_told(checkout: Path) -> None:
    change(checkout, "web/traffic.yaml", "description:", "description: Now")
    validated = run("Validate", checkout)
    assert (validated.returncode, validated.stdout) == (0, "")
    assert run("Form", checkout).returncode == 0
    tested = run("Test", checkout)
    assert tested.returncode == 0
    assert "0 failed" in tested.stdout
    assert "lateness" in tested.stdout  # coverage
    assert "<testsuite " in (checkout / "specs-tests.xml").read_text()
    assert run("Diff", checkout).returncode == 0
    comment = (checkout / "specs-diff.md").read_text()
    assert comment.startswith("<!-- pipelinekit diff -->\n### pipelinekit diff: 1 in_place")


def test_broken_spec_is_an_annotation_and_fails(checkout: Path) -> None:
    change(checkout, "web/traffic.yaml", "count()", "cout()")
    done = run("Validate", checkout)
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=specs/metrics/web/traffic.yaml,line=")


def test_spec_out_of_form_fails_and_is_named(checkout: Path) -> None:
    change(checkout, "web/traffic.yaml", "tumbling: 1m", "tumbling: 60s")
    done = run("Form", checkout)
    assert done.returncode == 1
    assert "traffic.yaml" in done.stdout + done.stderr


def test_failing_test_fails_and_is_reported(checkout: Path) -> None:
    change(checkout, "web/page_performance.yaml", "views: 2 }", "views: 3 }")
    done = run("Test", checkout)
    assert done.returncode == 1
    assert "FAILED  page_performance" in done.stdout
    assert "<failure " in (checkout / "specs-tests.xml").read_text()


@pytest.mark.parametrize(("fail_on", "code"), [("breaking", 1), ("replay", 0)])
def test_breaking_change_fails_where_that_is_asked(checkout: Path, fail_on: str, code: int) -> None:
    metric = "web/page_performance.yaml"
    change(checkout, metric, "  load_ms_max: { measure: max(load_ms), unit: ms }\n", "")
    done = run("Diff", checkout, FAIL_ON=fail_on)
    assert done.returncode == code, done.stderr
    assert "**breaking**" in (checkout / "specs-diff.md").read_text()


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ("", "api repos/us/specs/issues/7/comments --field body=@specs-diff.md"),
        (
            "41\n42\n",
            "api --method PATCH repos/us/specs/issues/comments/42 --field body=@specs-diff.md",
        ),
    ],
)
def test_comment_is_made_once_and_then_kept_current(checkout: Path, known: str, asked: str) -> None:
    (checkout / "specs-diff.md").write_text("…")
    done = run("Comment", checkout, GH_COMMENT=known)
    assert done.returncode == 0, done.stderr
    listed, said = (checkout.parent / "gh.log").read_text().splitlines()
    assert listed.startswith("api repos/us/specs/issues/7/comments --paginate")
    assert said == asked


def test_workflow_can_be_called_and_puts_no_expression_into_a_script() -> None:
    workflow = yaml(WORKFLOW)
    on = workflow.get("on", workflow.get(True))
    assert set(on) == {"push", "pull_request", "workflow_call"}
    assert set(on["workflow_call"]["inputs"]) == {"specs", "fail_on", "package"}
    assert not [step for step in steps().values() if "${{" in step.get("run", "")]


def test_without_a_place_to_install_from_it_says_what_to_set(checkout: Path) -> None:
    done = run("Install", checkout)
    assert done.returncode == 1
    assert done.stdout == (
        "::error::set the variable PIPELINEKIT_PACKAGE to what pip installs: see specs.yml\n"
    )


def test_what_is_set_is_what_pip_is_asked_for(checkout: Path) -> None:
    pip = checkout.parent / "bin/pip"
    pip.parent.mkdir()
    pip.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    assert run("Install", checkout, PACKAGE=example()).stdout == f"install|{example()}|"


def example() -> str:
    """What the workflow's own comment gives as an example."""
    (found,) = re.findall(r"^#   (pipelinekit\[.*)$", WORKFLOW.read_text(), re.MULTILINE)
    return found


def test_what_is_installed_exists_and_the_docs_say_the_same() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    wanted = [example()]
    wanted += [d for hook in yaml(HOOKS) for d in hook.get("additional_dependencies", [])]
    assert {re.search(r"\[(\w+)\]", text)[1] for text in wanted} <= set(extras)  # type: ignore[index]
    assert f"\n{example()}\n" in (ROOT / "docs/analyst/ci.md").read_text()


def test_init_puts_the_workflow_into_a_new_project(tmp_path: Path) -> None:
    assert run_cli("init", "shop", "--ci", "github", cwd=tmp_path).returncode == 0
    made = tmp_path / "shop/.github/workflows/specs.yml"
    assert made.read_text() == WORKFLOW.read_text()
    folder = tmp_path / "shop"
    assert run("Validate", folder).returncode == 0
    assert run("Form", folder).returncode == 0
    assert run("Test", folder).returncode == 0


@pytest.mark.parametrize("hook", yaml(HOOKS), ids=lambda hook: hook["id"])
def test_hooks_pass_the_example_and_stop_a_broken_spec(
    checkout: Path, hook: dict[str, Any]
) -> None:
    assert {"id", "name", "entry", "language", "files"} <= set(hook)
    assert re.search(hook["files"], "specs/metrics/web/traffic.yaml")
    program, *words = hook["entry"].split()
    assert program == "pipelinekit"
    done = run_cli(*words, cwd=checkout)
    assert done.returncode == 0
    if hook["id"] == "pipelinekit-fmt":  # it mends, and pre-commit stops at a file that changed
        change(checkout, "web/page_performance.yaml", "source: ", "\n\n\nsource: ")
        assert run_cli(*words, cwd=checkout).returncode == 0
        assert git_status(checkout) == ["specs/metrics/web/page_performance.yaml"]
        return
    change(checkout, "web/page_performance.yaml", "views: 2 }", "view: 3 }")
    assert run_cli(*words, cwd=checkout).returncode == 1
