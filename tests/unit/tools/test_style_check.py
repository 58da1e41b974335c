import ast

import pytest

from tools.style_check import check_class_names, check_functions, check_words


@pytest.mark.parametrize("name", ["_found", "told", "kept", "answered", "_settled", "seen"])
def test_function_named_by_a_participle_is_reported(name: str) -> None:
    (violation,) = check_functions("a.py", ast.parse(f"class A:\n    def {name}(self): ...\n"))
    assert (violation.line, name in violation.message) == (2, True)


@pytest.mark.parametrize("name", ["load_settled", "seed", "is_held", "lock_active_export", "read"])
def test_function_named_by_a_verb_is_accepted(name: str) -> None:
    assert list(check_functions("a.py", ast.parse(f"def {name}(): ...\n"))) == []


def test_property_may_be_named_by_an_adjective() -> None:
    assert list(check_functions("a.py", ast.parse("class A:\n    @property\n    def truncated(self): ...\n"))) == []


def test_class_defined_in_two_modules_is_reported() -> None:
    trees = [
        ("a.py", ast.parse("class Job: ...\nclass _Row: ...")),
        ("b.py", ast.parse("class Job: ...\nclass _Row: ...")),
    ]
    (violation,) = check_class_names(trees)
    assert violation.file == "b.py"
    assert "a.py" in violation.message


@pytest.mark.parametrize(
    "line",
    [
        "def tell_everybody(): ...",
        "class WhoeverAsks: ...",
        '"""What the engine is told."""',
        "It goes on where it was.",
        "MOST_ROWS = 5",
        "ROWS_A_PART = 5",
        "The trail says so.",
        "value = held",
        "Wait with patience.",
    ],
)
def test_banned_word_is_reported_in_names_and_prose(line: str) -> None:
    assert list(check_words("a.py", line))


@pytest.mark.parametrize(
    "line",
    [
        "def lock_active_export(): ...",
        "The audit trail is append-only.",
        "ROWS_PER_PART = 5",
        "MAX_ROWS = 5",
        'status: Literal["ok", "away"]',
        "benchmark, householder, heldenplatz, foretell",
        "Temporal retries the activity.",
    ],
)
def test_field_word_is_accepted(line: str) -> None:
    assert list(check_words("a.py", line)) == []
