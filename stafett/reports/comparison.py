"""What a new version of a report changes, for its history: computed once, when the version is stored."""

from collections.abc import Callable
from typing import NamedTuple

from stafett.database.session import Database
from stafett.database.tables import Export, ReportFileVersion
from stafett.domain.errors import StagedDataLostError
from stafett.domain.export import ExportParameters
from stafett.domain.reexport import VersionChange, is_identical_output
from stafett.reports.row_comparison import ChangeCounts, ComparedVersion, RowComparison, load_compared_version
from stafett.storage.files import FileStorage


class VersionDifference(NamedTuple):
    """What a new file changes, and whether it has the rows, the mapping and the parameters of the version before."""

    change: VersionChange
    is_none: bool


class VersionComparison:
    """Compares a new version with the one before it."""

    def __init__(self, database: Database, storage: FileStorage, *, raise_if_cancelled: Callable[[], None]) -> None:
        self._database = database
        self._comparison = RowComparison(storage, raise_if_cancelled=raise_if_cancelled)

    def __call__(self, before: ReportFileVersion, after: Export) -> VersionDifference:
        """Return what the new file changes; the row counts are null if either snapshot has been removed."""
        with self._database.transaction(after.org_id) as session:
            exports = session.get_one(Export, before.export_id), after
            versions = [load_compared_version(session, export) for export in exports]
        rows = self._count_changes(*versions)
        change = VersionChange(
            rows_added=rows and rows.added,
            rows_removed=rows and rows.removed,
            rows_changed=rows and rows.changed,
            mapping_changed=before.mapping["sha256"] != (after.mapping or {}).get("sha256"),
            same_bytes=before.file["sha256"] == (after.file or {}).get("sha256"),
        )
        has_same_rows = rows is not None and not rows.total and _has_same_context(*versions)
        is_none = has_same_rows and not change.mapping_changed and _has_same_parameters(*exports)
        return VersionDifference(change, is_none)

    def _count_changes(self, before: ComparedVersion | None, after: ComparedVersion | None) -> ChangeCounts | None:
        """Count the rows that differ; None if the rows of a version are no longer stored."""
        if before is None or after is None:
            return None
        try:
            return self._comparison.find_differences(before, after).counts
        except StagedDataLostError:
            return None


def _has_same_context(before: ComparedVersion | None, after: ComparedVersion | None) -> bool:
    """Return whether the attachments and the organisation's name, which are not part of the rows, are the same."""
    if before is None or after is None:
        return False
    first, second = (
        (snapshot.attachments and snapshot.attachments.sha256, snapshot.organisation_name)
        for snapshot in (before.snapshot, after.snapshot)
    )
    return first == second


def _has_same_parameters(before: Export, after: Export) -> bool:
    return is_identical_output(*(ExportParameters.model_validate(export.parameters) for export in (before, after)))
