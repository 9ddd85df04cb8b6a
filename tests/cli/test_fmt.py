"""`fmt`: one form, the same meaning, comments kept."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.cli.main import cli
from pipelinekit.spec.formatting import NotFormatted, formatted
from pipelinekit.spec.reading import read
from tests.spec.projects import FILES

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.yaml"))

UNTIDY = """\
# The team's own.
kind: metric
measures:@@
  n: count()        # all of them
  big: { measure: "count()", filter: load > 60 }
# which events
filter: kind = 'view'


lateness: { allowed: 600s }
window: { sliding: 300s, every: 10000ms }
source: events
sink: store
# its name
name: views
""".replace("@@", "   ")
TIDY = """\
# The team's own.
kind: metric
# its name
name: views
source: events
# which events
filter: kind = 'view'

measures:
  n: count()        # all of them
  big: { measure: "count()", filter: load > 60 }
window: { sliding: 5m, every: 10s }
lateness: { allowed: 10m }
sink: store
"""


def test_keys_get_their_order_and_comments_go_with_them() -> None:
    assert formatted(UNTIDY, "views.yaml") == TIDY
    assert formatted(TIDY, "views.yaml") == TIDY


@pytest.mark.parametrize("file", SPECS, ids=lambda p: p.stem)
def test_the_example_project_is_in_form(file: Path) -> None:
    assert formatted(file.read_text(), str(file)) == file.read_text()


@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(FILES)))
def test_any_order_of_keys_gives_one_form_that_says_the_same(seed: int, name: str) -> None:
    rng = random.Random(seed)
    text = FILES[name]
    blocks: list[str] = []
    for line in text.splitlines(keepends=True):
        if line[0].isspace():
            blocks[-1] += line
        else:
            blocks.append(f"# of {line.split(':')[0]}\n{line}")
    rng.shuffle(blocks)
    mixed = "".join(b + "\n" * rng.choice([0, 0, 1, 3]) for b in blocks)
    form = formatted(mixed, name)
    assert formatted(form, name) == form
    assert read(form.encode(), name).data() == read(text.encode(), name).data()
    for line in form.splitlines():
        assert line == line.rstrip()
    for key in read(text.encode(), name).data():
        assert f"# of {key}\n{key}:" in form


def test_space_inside_a_text_of_several_lines_stays() -> None:
    text = "kind: metric\ndescription: |\n  two spaces  \n\n\n  and gaps\nname: views\n"
    form = formatted(text, "views.yaml")
    assert read(form.encode(), "v").data() == read(text.encode(), "v").data()
    assert form.index("name:") < form.index("description:")


@pytest.mark.parametrize(
    "text", ["kind: [", "- a", "", "{ kind: metric, name: x }", "a: 1\na: 2\n"]
)
def test_what_is_no_spec_is_left_alone(text: str) -> None:
    with pytest.raises(NotFormatted):
        formatted(text, "x.yaml")


def test_check_names_files_and_writes_nothing(tmp_path: Path) -> None:
    file, broken = tmp_path / "views.yaml", tmp_path / "broken.yaml"
    file.write_text(UNTIDY)
    result = CliRunner().invoke(cli, ["fmt", "--check", str(tmp_path)], standalone_mode=False)
    assert result.return_value == 1
    assert "would change" in result.output
    assert file.read_text() == UNTIDY
    assert CliRunner().invoke(cli, ["fmt", str(tmp_path)], standalone_mode=False).return_value == 0
    assert file.read_text() == TIDY
    again = CliRunner().invoke(cli, ["fmt", "--check", str(tmp_path)], standalone_mode=False)
    assert again.return_value == 0
    broken.write_text("kind: [")
    failed = CliRunner().invoke(cli, ["fmt", str(tmp_path)], standalone_mode=False)
    assert failed.return_value == 1
    assert broken.read_text() == "kind: ["


def test_a_file_that_is_not_utf8_is_named_in_the_words_of_validate(tmp_path: Path) -> None:
    file = tmp_path / "views.yaml"
    file.write_bytes(b"kind: metric\nname: caf\xe9\n")
    result = CliRunner().invoke(cli, ["fmt", str(file)], standalone_mode=False)
    assert result.return_value == 1
    assert result.stderr.startswith(
        f"{file}: left as it is: PK001 in line 2: byte 0xe9 is not UTF-8; save the file as UTF-8\n"
    )
    assert file.read_bytes() == b"kind: metric\nname: caf\xe9\n"


def test_links_to_nothing_are_named_and_folders_passed_over(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "folder.yaml/views.yaml").write_text(UNTIDY)
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    result = CliRunner().invoke(cli, ["fmt", str(tmp_path)], standalone_mode=False)
    assert result.return_value == 1
    assert f"{tmp_path}/gone.yaml: it can't be read: No such file or directory\n" in result.stderr
    assert (tmp_path / "folder.yaml/views.yaml").read_text() == TIDY


def test_idle_space_at_the_end_is_taken_out_at_once() -> None:
    once = formatted("kind: metric\nname: a\n   \n \n", "a.yaml")
    assert once == formatted(once, "a.yaml") == "kind: metric\nname: a\n"


def test_a_metric_over_rows_names_what_it_is_over_before_its_key() -> None:
    text = "key: [country]\nkind: metric\nfrom: views   # by minute\nname: by_hour\n"
    assert formatted(text, "by_hour.yaml") == (
        "kind: metric\nname: by_hour\nfrom: views   # by minute\nkey: [country]\n"
    )
