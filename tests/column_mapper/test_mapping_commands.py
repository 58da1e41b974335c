import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import stafett.column_mapper
from stafett.cli.mapping import app
from stafett.column_mapper import InvalidMappingError, load_mapping
from stafett.column_mapper.schema import build_mapping_schema
from stafett.domain.errors import StafettError
from tests.support.mapping.nhf_template import NhfTemplate

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
    return NhfTemplate().save(tmp_path)


def _run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments], input=stdin)


def _list_issues(path: Path) -> list[dict[str, str]]:
    with pytest.raises(InvalidMappingError) as error:
        load_mapping(path.read_bytes())
    return [issue.model_dump() for issue in error.value.issues]


def _run_and_get_error(*arguments: object) -> str:
    result = _run(*arguments)
    assert isinstance(result.exception, StafettError)
    assert result.output == ""
    return str(result.exception)


def test_check_summarises_a_valid_document_in_one_line() -> None:
    result = _run("check", NHF)
    summary = f"NHF, reglene fra 2020: format 1, from 2020-01-01, 19 columns, 5 rules, 8 reasons, SHA-256 {SHA256}\n"
    assert (result.exit_code, result.output) == (0, summary)


def test_check_reads_a_document_from_standard_input() -> None:
    assert _run("check", "-", stdin=NHF.read_bytes()).output == _run("check", NHF).output


def test_check_lists_every_issue_and_their_number(faulty: Path) -> None:
    result = _run("check", faulty)
    assert result.exit_code == 1
    first, second = _list_issues(faulty)
    assert result.output.splitlines() == [
        f"{first['pointer']}: {first['detail']}",
        f"{second['pointer']}: {second['detail']}",
        "2 issues.",
    ]


def test_check_attributes_a_syntax_error_to_the_document() -> None:
    result = _run("check", "-", stdin=b"{")
    assert result.output.startswith("The document: Expected JSON: ")
    assert result.output.endswith("\n1 issue.\n")


def test_check_prints_the_same_issues_as_json(faulty: Path) -> None:
    result = _run("check", faulty, "--json")
    output = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (output["valid"], output["sha256"], output["differences"]) == (False, None, [])
    assert [issue["code"] for issue in output["faults"]] == ["wrong_type", "unknown_name"]
    assert output["faults"] == _list_issues(faulty)
    assert json.loads(_run("check", NHF, "--json").stdout) == {
        "valid": True,
        "sha256": SHA256,
        "faults": [],
        "differences": [],
    }


def test_check_confirms_a_template_without_differences(template: Path) -> None:
    result = _run("check", NHF, "--template", template)
    assert (result.exit_code, result.output.splitlines()[1:]) == (0, [f"No differences from {template}."])


def test_check_lists_template_differences_and_exits_with_1(tmp_path: Path) -> None:
    changed = NhfTemplate()
    changed.write("H4", "Stedet")
    template = changed.save(tmp_path)
    result = _run("check", NHF, "--template", template)
    assert result.exit_code == 1
    assert result.output.splitlines()[1:] == [
        "Likepersonsaktivitet!H4: The template has “Stedet”; the document has “Sted” (column place).",
        f"1 difference from {template}.",
    ]
    output = json.loads(_run("check", NHF, "--template", template, "--json").stdout)
    assert output["valid"]
    assert [difference["code"] for difference in output["differences"]] == ["header_spelling"]


def test_template_is_compared_in_the_requested_language(template: Path) -> None:
    result = _run("check", NHF, "--template", template, "--locale", "en")
    assert result.exit_code == 1
    assert "There is no sheet “Peer support”. The workbook has: “Likepersonsaktivitet”, “Valg”." in result.output


def test_unreadable_document_is_reported_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    assert _run_and_get_error("check", missing) == f"{missing} cannot be read: No such file or directory."
    assert _run_and_get_error("check", tmp_path) == f"{tmp_path} cannot be read: Is a directory."


def test_unreadable_template_is_reported_with_its_path(faulty: Path) -> None:
    message = (
        f"{faulty} cannot be read as a template: it is not an Excel workbook (.xlsx), or it is encrypted or damaged."
    )
    assert _run_and_get_error("check", NHF, "--template", faulty) == message


def test_endless_file_is_read_only_up_to_the_size_limit() -> None:
    assert _run("check", "/dev/zero").output.splitlines() == [
        "The document: A mapping document has at most 256 KiB.",
        "1 issue.",
    ]


def test_unsupported_locale_is_a_usage_error() -> None:
    assert _run("check", NHF, "--locale", "sv").exit_code == 2


def test_schema_is_printed_as_json() -> None:
    assert json.loads(_run("schema").stdout) == build_mapping_schema()
