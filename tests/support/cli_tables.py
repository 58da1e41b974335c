"""The command line's tables at two widths, as files: ``python -m tests.support.cli_tables`` writes them again."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from stafett.cli import (
    activity,
    api_key,
    audit_list,
    bulk,
    export,
    member,
    mentor,
    notification,
    operator,
    reexport,
    report,
    report_changes,
    webhook,
)
from stafett.cli.csv_files import read_csv_rows
from stafett.cli.deviations import print_deviations
from stafett.cli.tables import Columns, print_table

FOLDER = Path(__file__).parent.parent / "unit" / "cli" / "tables"
WIDTHS = (80, 120)
_ID, _OTHER_ID = "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10", "00000000-0000-4000-8000-000000000001"
_CREATED = "2026-11-29T11:06:44.123456Z"
_YEAR = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
_HALF_YEAR = {"reporting_period": {"start": "2026-01-01", "end": "2026-06-30"}}
_COUNTS = {"total": 10_000, "pending": 0, "registered": 9_950, "failed": 50, "cancelled": 0}
_LONG = "Two activities were registered late, and one was registered twice by mistake."
_DEVIATIONS = (
    "date;mentor;place;sheet;row;outcome;problem;repair;registered_by;activity_id;codes",
    f"06.01.2026;Åse Ødegård;Tromsø;;;rejected;Et likepersonskurs må ha deltakere.;Før antall deltakere.;;{_ID};course",
    f"07.01.2026;Kari Nordmann;Lund;Rapport;14;not_countable;Holdt utenfor Norge;Rett aktiviteten.;;{_OTHER_ID};abroad",
)


def _export(**fields: object) -> dict[str, Any]:
    values = {"id": _ID, "org_id": "blindeforbundet", "export_format": "xlsx", "status": "completed", "row_count": 5000}
    return values | {"created_at": _CREATED} | _YEAR | fields


def _reexport(**fields: object) -> dict[str, Any]:
    values = {"id": _ID, "org_id": "blindeforbundet", "report_id": _OTHER_ID, "source": "current_data"}
    return values | {"status": "completed", "file_version": 2, "created_at": _CREATED, "reason": _LONG} | fields


_REPORT = {"id": _ID, "org_id": "blindeforbundet", "created_at": _CREATED, "files": [{}, {}]}
_BATCH = {"id": _ID, "org_id": "blindeforbundet", "label": "Likepersonskurs i Tromsø, dag 2", "created_at": _CREATED}
_WEBHOOK = {"id": _ID, "url": "https://arkiv.blindeforbundet.example/stafett/meldinger", "created_at": _CREATED}
_KEY = {"id": _ID, "name": "Nightly export", "role": "coordinator", "expires_at": _CREATED, "created_by": _OTHER_ID}
_NOTIFICATION = {"id": _ID, "subject": {"kind": "bulk_registration", "id": _OTHER_ID}, "created_at": _CREATED}
_DELIVERIES = [{"channel": "email", "state": "delivered"}, {"channel": "webhook", "state": "given_up"}]
_MEMBER = {"user_id": _ID, "address": "kari.nordmann@blindeforbundet.example", "display_name": "Kari Nordmann"}
_EVENT = {"seq": 1204, "at": _CREATED, "actor": f"user:{_OTHER_ID}", "hash": "9f86d081884c7d659a2feaa0c55ad015"}
_EVENT |= {"detail": {"attempt": 1, "report_id": _ID, "sha256": "9f86d081884c7d65" * 4}}
_ACTIVITY = {
    "id": _ID,
    "mentor_name": "Åse Ødegård",
    "activity_type": "oppsokende_samtale",
    "starts_at": _CREATED,
    "duration_minutes": 60,
    "participants": 12,
    "place": "Likepersonsenteret i Tromsø",
}
_CHANGE = {"date": "2026-01-06", "mentor": "Åse Ødegård", "place": "Tromsø", "activity_id": _ID}
_CHANGE |= {"sheet_before": "Rapport", "row_before": "14", "sheet_after": "Rapport", "row_after": "15"}
_CHANGE |= {"counted_before": "nei", "counted_after": "ja"}
_BATCH_SUBJECT = {"subject_kind": "bulk_registration", "subject_id": _ID}
TABLES: Mapping[str, tuple[Columns, Sequence[dict[str, Any]]]] = {
    "exports": (
        export.EXPORTS.columns,
        [_export(), _export(status="completed_empty", row_count=0, **_HALF_YEAR), _export(status="failed")],
    ),
    "export-audit": (
        export.AUDIT_COLUMNS,
        [
            _EVENT | {"event": "export_requested", "status": "initialised"},
            _EVENT
            | {"event": "export_stage_started", "status": "querying_activities", "actor": "system:worker", "seq": 1205}
            | {"hash": "60303ae22b998861bce3b28f33eec1be"},
        ],
    ),
    "organisation-audit": (
        audit_list.AUDIT_TRAIL_COLUMNS,
        [
            _EVENT | {"event": "report_submitted", "status": None, "subject_kind": "report", "subject_id": _ID},
            _EVENT | {"event": "bulk_completed_with_failures", "status": "completed_with_failures", **_BATCH_SUBJECT},
            _EVENT
            | {"event": "activity_corrected", "status": None, "subject_kind": "activity", "subject_id": _OTHER_ID}
            | {"actor_name": "kari.nordmann@blindeforbundet.example", "detail": {"place": True, "starts_at": True}},
        ],
    ),
    "report-changes": (
        report_changes.CHANGE_COLUMNS,
        [
            _CHANGE | {"change": "changed", "differences": "participants: 5 → 7 · place: Bodø → Tromsø"},
            _CHANGE
            | {"change": "added", "differences": "", "sheet_before": "", "row_before": "", "counted_before": ""},
        ],
    ),
    "reexports": (
        reexport.REEXPORTS.columns,
        [_reexport(), _reexport(status="storing_result", file_version=None, reason=None, source="same_snapshot")],
    ),
    "batches": (
        bulk.BATCHES.columns,
        [
            _BATCH | {"counts": _COUNTS, "status": "completed_with_failures"},
            _BATCH | {"counts": _COUNTS, "status": "running", "label": None},
        ],
    ),
    "reports": (
        report.COLUMNS,
        [
            _REPORT | _YEAR | {"submitted_at": None, "submitted_reference": None},
            _REPORT | _HALF_YEAR | {"submitted_at": _CREATED, "submitted_reference": "Bufdir 27/1234"},
        ],
    ),
    "notifications": (
        notification.COLUMNS,
        [_NOTIFICATION | {"status": "completed_with_failures", "read_at": None, "deliveries": _DELIVERIES}],
    ),
    "webhooks": (
        webhook.COLUMNS,
        [_WEBHOOK | {"status": "active", "description": "Arkiv"}, _WEBHOOK | {"status": "disabled", "description": ""}],
    ),
    "api-keys": (api_key.COLUMNS, [_KEY | {"last_used_at": None}, _KEY | {"last_used_at": _CREATED}]),
    "members": (member.COLUMNS, [_MEMBER | {"role": "coordinator", "status": "invited"}]),
    "mentors": (
        mentor.COLUMNS,
        [{"id": _ID, "display_name": "Åse Ødegård", "active": True, "branch": "Blindeforbundet Troms lokallag"}],
    ),
    "activities": (
        activity.COLUMNS,
        [_ACTIVITY, _ACTIVITY | {"id": _OTHER_ID, "activity_type": "besok", "mentor_name": "Ola"}],
    ),
    "operators": (operator.COLUMNS, [{"user_id": _ID, "address": "operator@stafett.example"}]),
}
_LATER = {"created_at": "2026-11-30T11:06:44.123456Z"}
DIFFERENCES: Mapping[str, Sequence[dict[str, Any]]] = {
    "exports": [_HALF_YEAR, _LATER, {"org_id": "hlf"}, {"export_format": "csv"}, {"row_count": 1}],
    "reexports": [_LATER, {"org_id": "hlf"}, {"source": "same_snapshot"}, {"report_id": _ID}, {"reason": "Lost."}],
    "batches": [_LATER, {"org_id": "hlf"}, {"label": f"{_BATCH['label']} og 3"}, {"counts": _COUNTS | {"total": 9}}],
    "reports": [_HALF_YEAR, _LATER, {"org_id": "hlf"}, {"submitted_at": _CREATED}, {"submitted_reference": "27/1234"}],
    "notifications": [
        _LATER,
        {"read_at": _CREATED},
        {"deliveries": _DELIVERIES[:1]},
        {"subject": {"kind": "bulk_registration", "id": _ID}},
    ],
    "webhooks": [_LATER, {"url": f"{_WEBHOOK['url']}/2"}, {"description": "Arkiv 2"}, {"status": "disabled"}],
    "api-keys": [{"name": "Nightly"}, {"role": "admin"}, {"expires_at": None}, {"last_used_at": _CREATED}],
    "members": [{"address": "kari@blindeforbundet.example"}, {"role": "admin"}, {"status": "active"}],
    "mentors": [{"display_name": "Åse"}, {"active": False}, {"branch": "Blindeforbundet Troms lokallag 2"}],
}
"""What distinguishes an entry from the first one of its table."""


def render_tables(width: int) -> dict[str, str]:
    """Render every table at this width, by its name."""
    tables = {}
    for name, (columns, items) in TABLES.items():
        console = _create_console(width)
        print_table(items, columns, console)
        tables[name] = _read(console)
    console = _create_console(width)
    print_deviations(read_csv_rows("\r\n".join(_DEVIATIONS).encode()), console)
    return tables | {"deviations": _read(console)}


def _create_console(width: int) -> Console:
    return Console(width=width, file=io.StringIO())


def _read(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


if __name__ == "__main__":
    for each_width in WIDTHS:
        for each_name, content in render_tables(each_width).items():
            (FOLDER / f"{each_name}-{each_width}.txt").write_text(content, encoding="utf-8")
