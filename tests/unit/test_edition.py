"""What was made from anything else, or by another program, is known to be so."""

from pathlib import Path

import pytest

from stafett.database.session import Database
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import Part, QueriedRows
from stafett.edition import edition
from stafett.mapped_parts import MappedParts

QUERIED = {
    "parts": [Part(key="one", rows=1, sha256="1" * 64), Part(key="two", rows=1, sha256="2" * 64)],
    "snapshot_at": "2026-01-01T00:00:00Z",
    "mapping": {"version": 1, "sha256": "a" * 64},
}
ASKED = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}, "export_format": "csv"}


def origins(edition: str = "this", queried: dict[str, object] | None = None, **asked: object) -> list[str]:
    parts = MappedParts(Database("postgresql://nobody@localhost/nowhere"), edition=edition)
    snapshot = QueriedRows.model_validate(QUERIED | (queried or {}))
    return list(parts.origins(snapshot, ExportParameters.model_validate(ASKED | asked)))


def test_each_part_has_an_origin_of_its_own_that_does_not_change() -> None:
    assert len(set(origins())) == 2
    assert origins() == origins()
    assert origins(queried={"mapping": {"version": 2, "sha256": "a" * 64}}) == origins()


@pytest.mark.parametrize(
    "other",
    [
        {"locale": "nn"},
        {"export_format": "xlsx"},
        {"edition": "another"},
        {"queried": {"mapping": {"version": 1, "sha256": "b" * 64}}},
        {"queried": {"parts": [Part(key="one", rows=1, sha256=digit * 64) for digit in "34"]}},
    ],
    ids=str,
)
def test_a_part_that_is_made_from_anything_else_has_another_origin(other: dict[str, object]) -> None:
    assert not set(origins()) & set(origins(**other))  # type: ignore[arg-type]  # each by its own name


def test_a_program_of_other_sources_is_another_edition(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    source = tmp_path / "below" / "rules.py"
    source.write_text("MOST = 1\n")
    first = edition(tmp_path)
    assert edition(tmp_path) == first
    source.write_text("MOST = 2\n")
    second = edition(tmp_path)
    source.rename(tmp_path / "rules.py")
    assert len({first, second, edition(tmp_path), edition()}) == 4
