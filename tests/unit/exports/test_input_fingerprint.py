"""Input fingerprint of mapped parts: it differs for other rows, rules, parameters or builds."""

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
PARAMETERS = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}, "export_format": "csv"}


def fingerprint(build: str = "this", queried: Mapping[str, object] | None = None, **parameters: object) -> str:
    parts = MappedPartStore(Database("postgresql://stafett@localhost/nowhere"), build_fingerprint=build)
    snapshot = QueriedRows.model_validate(QUERIED | dict(queried or {}))
    return parts.input_fingerprint(snapshot, ExportParameters.model_validate(PARAMETERS | parameters))


def test_changes_without_effect_on_rows_leave_the_fingerprint_unchanged() -> None:
    same_rules = {"mapping": {"version": 2, "sha256": "a" * 64}}
    assert fingerprint(queried=same_rules, csv_profile="machine", fail_on_empty=True) == fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        {"locale": "nn"},
        {"export_format": "xlsx"},
        {"build": "another"},
        {"queried": {"mapping": {"version": 1, "sha256": "b" * 64}}},
        {"queried": {"parts": [QUERIED["parts"][0], StagedPart(key="two", rows=1, sha256="3" * 64)]}},
    ],
    ids=str,
)
def test_changes_with_effect_on_rows_change_the_fingerprint(other: dict[str, object]) -> None:
    assert fingerprint(**other) != fingerprint()  # type: ignore[arg-type]  # each by its own name


def test_build_fingerprint_depends_on_content_and_path_of_sources(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    source = tmp_path / "below" / "rules.py"
    source.write_text("LIMIT = 1\n")
    first = build_fingerprint(tmp_path)
    assert build_fingerprint(tmp_path) == first
    source.write_text("LIMIT = 2\n")
    second = build_fingerprint(tmp_path)
    source.rename(tmp_path / "rules.py")
    assert len({first, second, build_fingerprint(tmp_path), build_fingerprint()}) == 4
