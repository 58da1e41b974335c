"""The lines that describe an export and a batch: readable at 80 columns, with the command that comes next."""

import io
from typing import Any

from rich.console import Console

from stafett.cli.bulk import BATCHES
from stafett.cli.client import ApiClient
from stafett.cli.export import EXPORTS
from stafett.cli.report import describe_marks
from stafett.cli.tables import print_details

_ID = "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10"
_COUNTS = {"queried": 99_999, "written": 99_999, "rejected": 9_999}
_EXPORT: dict[str, Any] = {
    "id": _ID,
    "org_id": "nhf",
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "export_format": "xlsx",
    "status": "completed",
    "counts": _COUNTS | {"countable": 60_000, "not_countable": 30_000, "events": 59_000},
    "warnings": [],
    "not_countable": [{"reason": "Holdt utenfor Norge", "count": 30_000}, {"reason": "For kort", "count": 0}],
    "partial_failures": [
        {"is_fatal": True, "failure_reason": "Sted mangler", "affected_count": 9_999},
        *[{"is_fatal": False, "failure_reason": f"Sjekk {number}", "affected_count": 1} for number in range(12)],
    ],
    "partial_failure_count": 13,
    "report_id": _ID,
    "file": {"name": "nhf-bufdir-2026-01-01-2026-12-31.xlsx", "size_bytes": 1, "sha256": "0" * 64},
    "error": None,
}


class _NoClient(ApiClient):
    def __init__(self) -> None:
        """Connect to nothing."""


def test_export_is_described_within_80_columns_with_what_is_wrong() -> None:
    details = list(EXPORTS.describe(_EXPORT))
    console = Console(width=80, file=io.StringIO())
    print_details("Export", details, console)
    assert isinstance(console.file, io.StringIO)
    assert max(map(len, console.file.getvalue().splitlines())) <= 80
    assert ("counting", "countable 60000, not countable 30000, events 59000") in details
    assert [value for label, value in details if label == "not counted"] == ["Holdt utenfor Norge: 30000"]
    assert ("rejected", "Sted mangler (9999)") in details
    assert ("", "and 3 more kinds") in details
    assert ("row by row", f"stafett export deviations {_ID}") in details


def test_export_without_deviations_names_no_command_for_them() -> None:
    details = EXPORTS.describe(_EXPORT | {"not_countable": [], "partial_failures": [], "partial_failure_count": 0})
    assert not [value for _, value in details if "deviations" in str(value)]


def test_batch_with_failures_names_the_command_that_saves_them() -> None:
    error = {"code": "mentor_not_found", "message": "The organisation has no such peer mentor."}
    items = [{"client_ref": str(number), "mentor_id": _ID, "error": error} for number in range(12)]
    job = {"id": _ID, "items": items, "counts": {"failed": 12}, "corrected_by": []}
    details = list(BATCHES.load_details(_NoClient(), job))
    assert len([value for label, value in details if label == "failed"]) == 10
    assert details[-2:] == [("", "and 2 more"), ("to correct", f"stafett bulk failed {_ID} -o failed.csv")]
    assert list(BATCHES.load_details(_NoClient(), job | {"items": [], "counts": {"failed": 0}})) == []
    corrected = dict(BATCHES.load_details(_NoClient(), job | {"corrected_by": [_ID]}))
    assert "to correct" not in corrected


def test_retry_that_registered_nothing_is_described_with_what_to_do_instead() -> None:
    counts = {"total": 2, "pending": 0, "registered": 0, "failed": 2, "cancelled": 0}
    job = {"id": _ID, "items": [], "counts": counts, "retried": counts, "corrected_by": []}
    details = list(BATCHES.load_details(_NoClient(), job))
    assert ("", "tried again as they are, none of them was registered") in details
    assert details[-1] == ("to correct", f"stafett bulk failed {_ID} -o failed.csv")


def test_mark_of_another_version_names_the_one_before_and_the_choice() -> None:
    before = {"submitted_version": 1, "submitted_at": "2026-02-01T12:00:00Z", "submitted_reference": "Bufdir 26/1"}
    after: dict[str, Any] = {"submitted_version": 2, "submitted_reference": None, "files": [{}, {}]}
    chosen, default = describe_marks(before, after, is_chosen=True), describe_marks(before, after, is_chosen=False)
    assert chosen[0] == "The report has 2 versions; version 2 is marked now."
    assert default[0] == f"{chosen[0]} It is the newest, because --version was not given."
    assert default[1] == chosen[1]
    assert chosen[1].startswith("Version 1 was marked before (01.02.2026 13:00, Bufdir 26/1), and its file stays")
    assert chosen[1].endswith("Version 2 has a day and a reference of its own: no reference.")
    unmarked = before | {"submitted_version": None}
    assert len(describe_marks(unmarked, after, is_chosen=True)) == 1
    assert describe_marks(unmarked, after | {"files": [{}]}, is_chosen=False) == []
