"""Edits of a spec's text: what changes, and that nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.spec.document import Document, plain
from pipelinekit.spec.edits import CannotEdit, Places, edited, flow
from pipelinekit.spec.reading import read

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


def document(text: str) -> Document:
    found = read(text.encode(), "x.yaml")
    assert found.findings == ()
    return found


@given(values)
def test_value_on_one_line_is_read_back(value: object) -> None:
    text = f"x: {flow(value)}"
    assert "\n" not in text
    assert document(text).data() == {"x": value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1  # one\nb: 2\n", "a: 7  # one\nb: 2\n"),
        ('a: "x y" # one\n', "a: 7 # one\n"),
        ("a:\nb: 2\n", "a: 7\nb: 2\n"),
        ("{ a: { approx: 1 }, b: 2 }", "{ a: 7, b: 2 }"),
        (
            "a:\n  - 1\n  - x: 2\n    y: 3 # three\n\n# of b\nb: 2",
            "a:\n  7 # three\n\n# of b\nb: 2",
        ),
    ],
)
def test_value_is_replaced_and_all_else_stays(text: str, expected: str) -> None:
    places = Places(document(text))
    assert edited(text, [places.value(("a",), 7)]) == expected


BLOCK = """\
# before
rows:
  # of the first
  - { n: 1 }  # one
  - n: 2
    m: 3   # three

  - { n: 3 }
# after
last: 1
"""


@pytest.mark.parametrize(
    ("removed", "added", "expected"),
    [
        ([0], [], BLOCK.replace("  - { n: 1 }  # one\n", "")),
        ([1], [], BLOCK.replace("  - n: 2\n    m: 3   # three\n", "")),
        ([2], [{"n": 4}], BLOCK.replace("{ n: 3 }", "{ n: 4 }")),
        (
            [],
            [{"n": 4}, {"n": 5}],
            BLOCK.replace("{ n: 3 }", "{ n: 3 }\n  - { n: 4 }\n  - { n: 5 }"),
        ),
        (
            [0, 1, 2],
            [],
            "# before\nrows: []\n  # of the first\n\n# after\nlast: 1\n",
        ),
    ],
)
def test_items_of_a_list_with_dashes(
    removed: list[int], added: list[object], expected: str
) -> None:
    text = edited(BLOCK, Places(document(BLOCK)).items(("rows",), removed, added))
    assert text == expected
    kept = [r for i, r in enumerate(document(BLOCK).data()["rows"]) if i not in removed]
    assert document(text).data() == {"rows": kept + added, "last": 1}


@pytest.mark.parametrize(
    ("text", "removed", "added", "expected"),
    [
        ("rows: [{ n: 1 }, { n: 2 }] # two\n", [0], [], "rows: [{ n: 2 }] # two\n"),
        ("rows: []\n", [], [1, "a b"], 'rows: [1, "a b"]\n'),
        ("rows: [1]", [0], [], "rows: []"),
        ("rows: [\n  1, # one\n  2,\n  3\n]\n", [1], [4], "rows: [\n  1, # one\n  3, 4\n]\n"),
        ("rows: [\n  1, # one\n  2\n]\n", [1], [], "rows: [\n  1, # one\n]\n"),
        ("rows: [\n  1, # one\n  2,\n  3]\n", [1, 2], [], "rows: [\n  1, # one\n  ]\n"),
        ("rows: [\n  1, # one\n  2,\n]\n", [1], [], "rows: [\n  1, # one\n]\n"),
        ("rows: [\n  1, # one\n  2, 3\n]\n", [1, 2], [4, 5], "rows: [\n  1, # one\n  4, 5\n]\n"),
        ("rows: [\n  1, 2,\n  3, # three\n  4\n]\n", [0, 1], [], "rows: [\n  3, # three\n  4\n]\n"),
        (
            "rows: [\n  1, 2,\n  3, # three\n  4\n]\n",
            [0, 3],
            [5],
            "rows: [\n  2,\n  3, # three\n  5\n]\n",
        ),
        ("rows: [\n  1, # one\n  2\n]\n", [0, 1], [3], "rows: [3]\n"),
        (
            "- {}\n".replace("- {}", "x:\n  - rows: [aaaa]"),
            [],
            ["b" * 90],
            f"x:\n  - rows:\n      - aaaa\n      - {'b' * 90}\n",
        ),
    ],
)
def test_items_of_a_list_in_brackets(
    text: str, removed: list[int], added: list[object], expected: str
) -> None:
    path = ("x", 0, "rows") if text.startswith("x") else ("rows",)
    found = document(text)
    node = found.node(path)
    assert node is not None
    assert edited(text, Places(found).items(path, removed, added)) == expected
    kept = [r for i, r in enumerate(plain(node)) if i not in removed]
    after = document(expected).node(path)
    assert after is not None
    assert plain(after) == kept + added


def test_line_ends_of_windows_stay() -> None:
    text = "rows:\r\n  - 1\r\n  - 2\r\nlast: 1\r\n"
    changed = edited(text, Places(document(text)).items(("rows",), [0], [3]))
    assert changed == "rows:\r\n  - 2\r\n  - 3\r\nlast: 1\r\n"


def test_what_shares_its_line_is_refused() -> None:
    text = "rows:\n  - - 1\n    - 2\n"
    with pytest.raises(CannotEdit, match="shares its line"):
        Places(document(text)).items(("rows", 0), [0], [])
    text = "a: |\n  one\n  two\n"
    with pytest.raises(CannotEdit, match="several lines"):
        Places(document(text)).value(("a",), 1)
