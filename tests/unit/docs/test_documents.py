import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("deploy/*.md")],
)
_PATH = re.compile(
    r"(?<![\w./-])((?:stafett|workflows|activities|api|tests|docs|deploy|benchmarks|tools)/[\w./-]*\w/?|worker\.py)(?![\w-])"
)
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_NAME_IN_FILE = re.compile(r"`([\w/]+\.py):([A-Za-z_][\w.]*)`")


def read_document(document: Path) -> str:
    return document.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_path_in_a_document_exists(document: Path) -> None:
    missing = [path for path in _PATH.findall(read_document(document)) if not _exists(path)]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_relative_link_in_a_document_leads_to_a_file(document: Path) -> None:
    assert [link for link in _LINK.findall(read_document(document)) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_name_that_a_document_gives_with_a_file_is_defined_there(document: Path) -> None:
    for file, name in _NAME_IN_FILE.findall(read_document(document)):
        (source, *others) = [
            path for path in (PROJECT / file, *PROJECT.glob(f"*/{file}"), *PROJECT.glob(f"*/*/{file}")) if path.exists()
        ]
        assert not others, f"{file} is ambiguous"
        defined = re.search(
            rf"^\s*(?:async def|def|class) {name.rpartition('.')[2]}\b|^{name} = ", read_document(source), re.MULTILINE
        )
        assert defined, f"{file} does not define {name}"


def test_recipes_of_the_testing_page_are_the_tests_that_they_quote() -> None:
    recipes = re.findall(
        r"From `([^`]+)`:\n\n```python\n(.*?)```", read_document(PROJECT / "docs" / "testing.md"), re.DOTALL
    )
    assert len(recipes) == 3
    for file, code in recipes:
        assert code == read_document(PROJECT / file)


def test_documents_are_found() -> None:
    assert len(DOCUMENTS) > 20


def _exists(path: str) -> bool:
    return (PROJECT / path).exists() or path in {"docs/adr/NNNN", "benchmarks/results"}
