"""``stafett mapping``: commands for mapping documents in files, without a running service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stafett.cli.options import JsonOption, read_input
from stafett.cli.terminal import print_json, print_lines
from stafett.domain.export import Locale

if TYPE_CHECKING:
    from stafett.column_mapper import MappingDocument, MappingIssue
    from stafett.column_mapper.template import TemplateDifference

app = typer.Typer(
    name="mapping", help="Validate, preview and publish an organisation's column mapping.", no_args_is_help=True
)

MappingFileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Mapping document; - reads standard input.")]
LocaleOption = Annotated[Locale, typer.Option("--locale", help="Language of headers and labels.")]


@app.command()
def check(
    file: MappingFileArgument,
    template: Annotated[
        Path | None,
        typer.Option("--template", metavar="BOOK.xlsx", help="Excel template to compare the document with."),
    ] = None,
    locale: LocaleOption = "nb",
    as_json: JsonOption = False,
) -> None:
    """List the issues of a mapping document and its differences from a template. Exit code 1 if there are any."""
    from stafett.column_mapper.template import compare_template

    document, issues = _read_document(file)
    differences = compare_template(document, template, locale) if document and template else []
    if as_json:
        print_json(_check_result(document, issues, differences))
    else:
        print_lines(*_format_check_result(document, issues, differences, template))
    if issues or differences:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of mapping documents, for use in editors."""
    from stafett.column_mapper.schema import build_mapping_schema

    print_json(build_mapping_schema(), indent=2)


@app.command()
def standard() -> None:
    """Print a standard mapping document that any organisation can start from."""
    from stafett.column_mapper.organisations import STANDARD, load_bundled_mappings

    print_json(load_bundled_mappings(STANDARD)[-1].as_json(), indent=2)


def _read_document(file: Path) -> "tuple[MappingDocument | None, tuple[MappingIssue, ...]]":
    from stafett.column_mapper import InvalidMappingError, load_mapping

    try:
        return load_mapping(_read_bytes(file)), ()
    except InvalidMappingError as error:
        return None, error.issues


def _read_bytes(file: Path) -> bytes:
    """Read at most one byte more than the limit; the loader rejects a larger document."""
    from stafett.column_mapper.loader import MAX_DOCUMENT_BYTES

    return read_input(file, MAX_DOCUMENT_BYTES + 1)


def _check_result(
    document: "MappingDocument | None", issues: "tuple[MappingIssue, ...]", differences: "list[TemplateDifference]"
) -> dict[str, Any]:
    return {
        "valid": document is not None,
        "sha256": document and document.sha256,
        "faults": [issue.model_dump() for issue in issues],
        "differences": [difference.model_dump() for difference in differences],
    }


def _format_check_result(
    document: "MappingDocument | None",
    issues: "tuple[MappingIssue, ...]",
    differences: "list[TemplateDifference]",
    template: Path | None,
) -> list[str]:
    if document is None:
        return _format_issues(issues)
    lines = [_format_summary(document), *(f"{difference.location}: {difference.detail}" for difference in differences)]
    if template is not None:
        lines.append(f"{_format_count(len(differences), 'difference')} from {template}.")
    return lines


def _format_issues(issues: "tuple[MappingIssue, ...]") -> list[str]:
    lines = [f"{issue.pointer or 'The document'}: {issue.detail}" for issue in issues]
    return [*lines, f"{_format_count(len(issues), 'issue')}."]


def _format_summary(document: "MappingDocument") -> str:
    parts = (
        _format_count(len(document.columns), "column"),
        _format_count(len(document.rules), "rule"),
        _format_count(len(document.counting.reasons), "reason"),
    )
    return (
        f"{document.title}: format {document.format}, from {document.effective_from},"
        f" {', '.join(parts)}, SHA-256 {document.sha256}"
    )


def _format_count(count: int, noun: str) -> str:
    return f"{count or 'No'} {noun}{'' if count == 1 else 's'}"
