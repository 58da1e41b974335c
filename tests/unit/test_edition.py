"""What was made from anything else, or by another program, is known to be so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stafett.database.session import Database
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import QueriedRows, StagedPart
from stafett.exports.mapped_parts import MappedPartStore
from stafett.version import build_fingerprint

QUERIED: dict[str, Any] = {
    "parts": [StagedPart(key="one", rows=1, sha256="1" * 64), StagedPart(key="two", rows=1, sha256="2" * 64)],
    "snapshot_at": "2026-01-01T00:00:00Z",
    "mapping": {"version": 1, "sha256": "a" * 64},
}
ASKED = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}, "export_format": "csv"}


def origin(edition: str = "this", queried: Mapping[str, object] | None = None, **asked: object) -> str:
    parts = MappedPartStore(Database("postgresql://nobody@localhost/nowhere"), build_fingerprint=edition)
    snapshot = QueriedRows.model_validate(QUERIED | dict(queried or {}))
    return parts.input_fingerprint(snapshot, ExportParameters.model_validate(ASKED | asked))


def test_what_makes_no_difference_to_the_rows_makes_none_to_their_origin() -> None:
    same_rules = {"mapping": {"version": 2, "sha256": "a" * 64}}
    assert origin(queried=same_rules, csv_profile="machine", fail_on_empty=True) == origin()


@pytest.mark.parametrize(
    "other",
    [
        {"locale": "nn"},
        {"export_format": "xlsx"},
        {"edition": "another"},
        {"queried": {"mapping": {"version": 1, "sha256": "b" * 64}}},
        {"queried": {"parts": [QUERIED["parts"][0], StagedPart(key="two", rows=1, sha256="3" * 64)]}},
    ],
    ids=str,
)
def test_parts_that_are_made_from_anything_else_have_another_origin(other: dict[str, object]) -> None:
    assert origin(**other) != origin()  # type: ignore[arg-type]  # each by its own name


def test_a_program_of_other_sources_is_another_edition(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    source = tmp_path / "below" / "rules.py"
    source.write_text("MOST = 1\n")
    first = build_fingerprint(tmp_path)
    assert build_fingerprint(tmp_path) == first
    source.write_text("MOST = 2\n")
    second = build_fingerprint(tmp_path)
    source.rename(tmp_path / "rules.py")
    assert len({first, second, build_fingerprint(tmp_path), build_fingerprint()}) == 4
