"""``stafett doctor --storage``: the findings of a comparison of the bucket with the database, in words."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from stafett.cli.local_settings import load_settings
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Timeouts
from stafett.devstack.doctor import DoctorCheck
from stafett.exports.storage_check import MissingObjects, StorageCheck, StorageFindings
from stafett.settings import require_setting
from stafett.storage.files import FileStorage

_MAX_LINES = 200
"""Lines about one kind of finding; a last one has the number of the others."""


def check_storage(data_dir: Path | None) -> Sequence[DoctorCheck]:
    settings = load_settings(data_dir)
    url = require_setting(settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL")
    pooling = settings.database.transaction_pooling
    database = MaintenanceDatabase(url, pool_size=1, timeouts=Timeouts.COMMAND_LINE, transaction_pooling=pooling)
    with closing(database):
        return list(describe_findings(StorageCheck(database, FileStorage(settings.s3)).run()))


def describe_findings(findings: StorageFindings) -> Iterator[DoctorCheck]:
    """Describe what is missing and what is unknown as problems, and what is only superfluous as a number."""
    message = f"{findings.exports} exports and {findings.objects} objects of exports were compared."
    yield DoctorCheck("storage", ok=True, message=message)
    yield from _limit("missing objects", [_describe_missing(missing) for missing in findings.missing])
    yield from _limit(
        "missing attachment",
        [
            f"The attachment {each.attachment_id} of activity {each.activity_id} of {each.org_id} is missing;"
            " restore its object."
            for each in findings.missing_attachments
        ],
    )
    yield from _limit(
        "unknown export",
        [
            f"The database does not know export {each.export_id} of {each.org_id}, or its newest attempt, which has"
            f" {each.objects} objects; restore a later database, or leave it: reconcile-bucket deletes them in a week."
            for each in findings.unknown
        ],
    )
    superfluous = {
        "of ended exports, which reconcile-bucket deletes": findings.unreferenced,
        "of attachments, which nothing deletes": findings.unknown_attachments,
        "that no export wrote": findings.unrecognised,
    }
    for description, count in superfluous.items():
        if count:
            yield DoctorCheck("superfluous", ok=True, message=f"Nothing refers to {count} objects {description}.")


def _describe_missing(missing: MissingObjects) -> str:
    parts = ["its file"] * missing.lacks_file + [f"{missing.others} other objects"] * (missing.others > 0)
    return (
        f"Export {missing.export_id} of {missing.org_id} lacks {' and '.join(parts)}; restore them from a later copy of"
        " the bucket, or trigger reconcile-bucket and export the period again."
    )


def _limit(subject: str, messages: Sequence[str]) -> Iterator[DoctorCheck]:
    for message in messages[:_MAX_LINES]:
        yield DoctorCheck(subject, ok=False, message=message)
    if len(messages) > _MAX_LINES:
        yield DoctorCheck(subject, ok=False, message=f"There are {len(messages) - _MAX_LINES} more.")
