import json
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner, Result

import stafett.column_mapper
from stafett.cli.mapping import app
from stafett.column_mapper import InvalidMappingError, load_mapping
from stafett.column_mapper.schema import build_mapping_schema
from stafett.domain.errors import StafettError
from tests.mapping.nhf_template import NhfTemplate

NHF = Path(stafett.column_mapper.__file__).parent / "organisations" / "nhf" / "2020-01-01.json"
SHA256 = load_mapping(NHF.read_bytes()).sha256
FAULTY: dict[str, Any] = {
    "format": 1,
    "title": "Prøve",
    "effective_from": "2026-01-01",
    "columns": [
        {"id": "a", "header": {"nb": "A", "nn": "A", "en": "A"}, "type": "date", "value": {"var": "starts_at"}},
        {"id": "b", "header": {"nb": "B", "nn": "B", "en": "B"}, "type": "text", "value": {"var": "plase"}},
    ],
    "counting": {"reasons": []},
}


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps(FAULTY), "utf-8")
    return path


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return NhfTemplate().saved(tmp_path)


def _run(*words: object, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=given)


def _faults_of(path: Path) -> list[dict[str, str]]:
    with pytest.raises(InvalidMappingError) as refused:
        load_mapping(path.read_bytes())
    return [fault.model_dump() for fault in refused.value.issues]


def _refusal(*words: object) -> str:
    answer = _run(*words)
    assert isinstance(answer.exception, StafettError)
    assert answer.output == ""
    return str(answer.exception)


def test_a_sound_document_is_summed_up_in_a_line() -> None:
    answer = _run("check", NHF)
    said = f"NHF, reglene fra 2020: format 1, from 2020-01-01, 19 columns, 5 rules, 8 reasons, SHA-256 {SHA256}\n"
    assert (answer.exit_code, answer.output) == (0, said)


def test_a_document_comes_from_standard_input_too() -> None:
    assert _run("check", "-", given=NHF.read_bytes()).output == _run("check", NHF).output


def test_every_fault_has_its_line_and_then_they_are_counted(faulty: Path) -> None:
    answer = _run("check", faulty)
    assert answer.exit_code == 1
    first, second = _faults_of(faulty)
    assert answer.output.splitlines() == [
        f"{first['pointer']}: {first['detail']}",
        f"{second['pointer']}: {second['detail']}",
        "2 faults.",
    ]


def test_a_fault_of_the_whole_document_is_said_of_it() -> None:
    answer = _run("check", "-", given=b"{")
    assert answer.output.startswith("The document: Expected JSON: ")
    assert answer.output.endswith("\n1 fault.\n")


def test_programs_are_told_the_same_as_json(faulty: Path) -> None:
    answer = _run("check", faulty, "--json")
    said = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert (said["valid"], said["sha256"], said["differences"]) == (False, None, [])
    assert [fault["code"] for fault in said["faults"]] == ["wrong_type", "unknown_name"]
    assert said["faults"] == _faults_of(faulty)
    assert json.loads(_run("check", NHF, "--json").stdout) == {
        "valid": True,
        "sha256": SHA256,
        "faults": [],
        "differences": [],
    }


def test_a_template_that_agrees_is_said_to(template: Path) -> None:
    answer = _run("check", NHF, "--template", template)
    assert (answer.exit_code, answer.output.splitlines()[1:]) == (0, [f"No differences from {template}."])


def test_differences_from_a_template_are_listed_and_end_with_1(template: Path) -> None:
    answer = _run("check", NHF, "--template", template, "--locale", "en")
    assert answer.exit_code == 1
    assert answer.output.splitlines()[1:] == [
        (
            "Likepersonsaktivitet: There is no sheet “Peer support”;"
            " “Likepersonsaktivitet” is probably meant, and is compared."
        ),
        "Likepersonsaktivitet: The headers are the document's in “nb”, not in “en”; they are compared as such.",
        f"2 differences from {template}.",
    ]
    listed = json.loads(_run("check", NHF, "--template", template, "--locale", "en", "--json").stdout)
    assert listed["valid"]
    assert [one["code"] for one in listed["differences"]] == ["sheet_spelling", "language"]


@pytest.mark.parametrize("command", [("check",), ("template", "--output", "new.xlsx")])
def test_a_file_that_cannot_be_read_is_said_in_a_sentence(command: tuple[str, ...], tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    assert _refusal(*command, missing) == f"{missing} cannot be read: No such file or directory."
    assert _refusal(*command, tmp_path) == f"{tmp_path} cannot be read: Is a directory."


def test_a_template_that_cannot_be_read_is_said_in_a_sentence(faulty: Path) -> None:
    sentence = f"{faulty} cannot be read as a template: it is not an Excel workbook (.xlsx), or it is damaged."
    assert _refusal("check", NHF, "--template", faulty) == sentence


def test_a_file_without_an_end_is_not_read_to_its_end() -> None:
    assert _run("check", "/dev/zero").output.splitlines() == [
        "The document: A mapping document has at most 256 KiB.",
        "1 fault.",
    ]


def test_a_language_nobody_writes_reports_in_is_asked_wrongly() -> None:
    assert _run("check", NHF, "--locale", "sv").exit_code == 2


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(_run("schema").stdout) == build_mapping_schema()


def test_transformations_are_listed_with_what_they_take_and_give() -> None:
    lines = _run("transformations").stdout.splitlines()
    assert lines[0].split() == ["name", "takes", "gives", "what", "it", "does"]
    assert lines[1].split(maxsplit=3)[:3] == ["initials", "text", "text"]
    listed = json.loads(_run("transformations", "--json").stdout)
    assert {name: listed[0][name] for name in ("name", "takes", "gives")} == {
        "name": "initials",
        "takes": ["text"],
        "gives": "text",
    }
    assert all(one["description"].endswith(".") for one in listed)


def test_a_blank_template_is_written_and_agrees_with_its_document(tmp_path: Path) -> None:
    book = tmp_path / "mal.xlsx"
    answer = _run("template", NHF, "--output", book, "--locale", "nn")
    assert (answer.exit_code, answer.output) == (0, f"{book} ({book.stat().st_size} bytes)\n")
    assert load_workbook(book)["Likepersonsaktivitet"]["E4"].value == "Varigheit (minutt)"
    assert _run("check", NHF, "--template", book, "--locale", "nn").exit_code == 0


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    book = tmp_path / "mal.xlsx"
    book.write_bytes(b"mine")
    assert _refusal("template", NHF, "-o", book) == f"{book} is there already; --force replaces it."
    assert book.read_bytes() == b"mine"
    assert _run("template", NHF, "-o", book, "--force").exit_code == 0
    assert book.read_bytes() != b"mine"


def test_a_template_is_not_written_where_there_is_no_folder(tmp_path: Path) -> None:
    book = tmp_path / "nowhere" / "mal.xlsx"
    assert _refusal("template", NHF, "-o", book) == f"{book} cannot be written: No such file or directory."


def test_no_template_is_made_of_a_faulty_document(faulty: Path, tmp_path: Path) -> None:
    answer = _run("template", faulty, "-o", tmp_path / "mal.xlsx")
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr.endswith("2 faults.\n")
    assert not (tmp_path / "mal.xlsx").exists()
