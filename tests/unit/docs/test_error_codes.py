"""docs/api.md lists every error code that the source has, and no other."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from api import problems
from stafett.database.pagination import UNKNOWN_ORGANISATION
from stafett.domain.activity_faults import CODES_OF_OUR_RULES
from stafett.domain.bulk_status import ItemErrorCode
from stafett.domain.export_status import ExportErrorCode

PROJECT = Path(__file__).parents[3]
GUIDE = (PROJECT / "docs" / "api.md").read_text("utf-8")
_CODE_POSITIONS = {
    "RequestIssue": 1,
    "InvalidFieldError": 1,
    "ForbiddenDestinationError": 0,
    "_build_error": 1,
    "_limit_error": 0,
    "FieldError": 1,
}
"""The position of the code among the arguments of each function that makes an error of a field."""


def read_table(heading: str) -> Mapping[str, str]:
    """Read a table of the guide by the first cell of its heading: the next cell by the code, or codes, of the line."""
    match = re.search(rf"^\| {re.escape(heading)} \|.*\n\| ---.*\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    assert match is not None, heading
    lines = [line.strip("|").split(" | ") for line in match[1].splitlines()]
    cells = [(code, line[1]) for line in lines for code in re.findall(r"`(\w+)`", line[0])]
    assert len(dict(cells)) == len(cells)
    return dict(cells)


def iterate_constants() -> Iterator[object]:
    for value in vars(problems).values():
        yield from value.values() if isinstance(value, dict) else [value]


def iterate_field_codes() -> Iterator[str]:
    """Find the codes that are written where an error of a field is made."""
    files = [*(PROJECT / "stafett").rglob("*.py"), *(PROJECT / "api").rglob("*.py")]
    for file in files:
        if "console" not in file.parts:
            yield from _find_codes(ast.parse(file.read_text("utf-8")))


def _find_codes(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or name not in _CODE_POSITIONS:
            continue
        named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        argument = (named or node.args[_CODE_POSITIONS[name] :])[0]
        if isinstance(argument, ast.Constant):
            yield str(argument.value)


def test_guide_lists_every_problem_with_its_status() -> None:
    specs = [spec for spec in iterate_constants() if isinstance(spec, problems.ProblemSpec)]
    assert len(specs) > 20
    listed = {code: int(status) for code, status in read_table("code | status").items()}
    assert listed == {spec.code: int(spec.status) for spec in specs}


def test_guide_lists_every_code_of_a_field() -> None:
    codes = {*iterate_field_codes(), *CODES_OF_OUR_RULES.values(), UNKNOWN_ORGANISATION}
    assert len(codes) > 20
    assert read_table("code | meaning").keys() == codes


@pytest.mark.parametrize(
    ("heading", "codes"),
    [
        ("`error.code` of an export or re-export", ExportErrorCode),
        ("`error.code` of an item of a batch", ItemErrorCode),
    ],
)
def test_guide_lists_every_code_of_a_job(heading: str, codes: type[ExportErrorCode | ItemErrorCode]) -> None:
    assert read_table(heading).keys() == set(codes)
