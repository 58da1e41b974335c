"""The lines of a JSON text's values."""

import json

from hypothesis import given
from hypothesis import strategies as st

from stafett.column_mapper.json_positions import find_lines

TEXT = """\ufeff{
  "a": [1,
    {"b/c": "x\\n\\"]}",
     "d": -1.5e3}],
  "e": {}, "f": [],
  "g": null
}
"""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_value_is_on_the_line_of_its_key_or_of_itself() -> None:
    lines = {"": 1, "/a": 2, "/a/0": 2, "/a/1": 3, "/a/1/b~1c": 3, "/a/1/d": 4, "/e": 5, "/f": 5, "/g": 6}
    assert find_lines(TEXT, iter(lines)) == lines


def test_part_that_is_missing_is_on_the_line_of_what_it_would_be_in() -> None:
    assert find_lines(TEXT, iter(["/a/1/x/y", "/z", "/a/7"])) == {"/a/1/x/y": 3, "/z": 1, "/a/7": 2}


def test_text_that_is_not_json_has_no_lines() -> None:
    for text in ("", "{", '{"a": ', "[1, 2", '{"a', "[" * 100_000):
        assert find_lines(text, iter(["/a"])) == {}, text[:10]


@given(VALUES)
def test_every_item_of_an_indented_document_has_a_line_of_its_own(value: object) -> None:
    text = json.dumps([value, "last"], indent=1)
    last = find_lines(text, iter(["/1"]))["/1"]
    assert text.splitlines()[last - 1].strip() == '"last"'
