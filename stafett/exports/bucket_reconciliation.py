"""Reconciliation of the bucket with the database: finds objects that no clean-up finds, and files that are missing.

An object is deleted only if it is older than the grace period, its export has ended before that, and nothing refers to
it. Its key is never written again, so that a late deletion of it affects no attempt. Objects of an export or an attempt
that the database does not know are deleted only after it has been unknown for days: a restore may bring its row back.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, islice
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlmodel import Session, col, select

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.errors import WorkCancelledError
from stafett.domain.export_job import BucketReport
from stafett.domain.object_keys import EXPORTS_PREFIX, ExportKey
from stafett.exports.missing_files import MissingFiles
from stafett.exports.stored_objects import load_referenced_keys
from stafett.exports.unknown_exports import UnknownExports
from stafett.monitoring.logs import error_location
from stafett.storage.files import FileStorage, ListedObject

_PAGE_SIZE = 1000
_log = structlog.get_logger("stafett.bucket_reconciliation")


class BucketPolicy(NamedTuple):
    """Age of objects that may be deleted, and how long an export must have been unknown before its objects are."""

    grace_period: timedelta = timedelta(days=1)
    unknown_period: timedelta = timedelta(days=7)


_DEFAULT_POLICY = BucketPolicy()


class _Candidate(NamedTuple):
    listed: ListedObject
    key: ExportKey


class BucketReconciliation:
    """Works as the maintenance role, page by page; an interrupted run starts over, and each page is idempotent."""

    def __init__(
        self,
        maintenance: Database,
        storage: FileStorage,
        *,
        raise_if_cancelled: Callable[[], None],
        policy: BucketPolicy = _DEFAULT_POLICY,
        org_id: str | None = None,
    ) -> None:
        """Limit the run to one organisation with ``org_id``."""
        self._database = maintenance
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled
        self._policy = policy
        self._prefix = EXPORTS_PREFIX if org_id is None else f"{EXPORTS_PREFIX}{org_id}/"
        self._unknown_exports = UnknownExports(maintenance)
        self._missing_files = MissingFiles(maintenance, storage, raise_if_cancelled=raise_if_cancelled, org_id=org_id)

    def reconcile(self) -> BucketReport:
        started_at = datetime.now(UTC)
        counts = Counter[str]()
        self._storage.ping()
        listed = chain(self._storage.iterate_uploads(self._prefix), self._storage.iterate_objects(self._prefix))
        for page in _split_pages(listed):
            self._raise_if_cancelled()
            counts["objects"] += len(page)
            counts += self._reconcile_page(page, started_at - self._policy.grace_period)
        counts += self._missing_files.update()
        counts["unknown_exports"] = self._unknown_exports.delete_obsolete(started_at - self._policy.grace_period)
        report = BucketReport(**counts)
        _log.info("bucket_reconciled", **report.model_dump())
        return report

    def _reconcile_page(self, page: Sequence[ListedObject], written_before: datetime) -> Counter[str]:
        """Delete a page's stray objects; an error concerns this page only, unless S3 or PostgreSQL is unavailable."""
        counts = Counter[str]()
        try:
            strays = list(self._find_strays(page, written_before, counts))
            self._storage.delete_listed(strays)
        except WorkCancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - any error, even an unexpected one, concerns this page only
            self._storage.ping()  # raises if S3 does not respond at all, and Temporal retries the activity
            self._database.ping()
            _log.warning("bucket_reconciliation_failed", error=type(error).__name__, location=error_location(error))
            return Counter({"errors": 1})
        counts["uploads_aborted"] = sum(stray.upload_id is not None for stray in strays)
        counts["objects_deleted"] = len(strays) - counts["uploads_aborted"]
        return counts

    def _find_strays(
        self, page: Sequence[ListedObject], written_before: datetime, counts: Counter[str]
    ) -> Iterator[ListedObject]:
        candidates = list[_Candidate]()
        for listed in page:
            key = ExportKey.parse(listed.key)
            if key is None:
                counts["unrecognised"] += 1
            elif listed.modified_at < written_before:
                candidates.append(_Candidate(listed, key))
        for org_id, group in groupby(sorted(candidates, key=_get_org_id), key=_get_org_id):
            yield from self._find_strays_of(org_id, list(group), written_before, counts)

    def _find_strays_of(
        self, org_id: str, candidates: Sequence[_Candidate], written_before: datetime, counts: Counter[str]
    ) -> Iterator[ListedObject]:
        with self._database.transaction(org_id) as session:
            exports = _load_exports(session, {candidate.key.export_id for candidate in candidates})
            # The rows are read first: a retry that starts afterwards only drops references.
            referenced_keys = load_referenced_keys(session, list(exports.values()))
        unknown = list[_Candidate]()
        for candidate in candidates:
            listed, key = candidate
            export = exports.get(key.export_id)
            if export is None or key.attempt > export.attempt:
                unknown.append(candidate)
            elif export.org_id != org_id or not _ended_before(export, written_before):
                continue
            elif export.files_removed_at is not None:
                yield listed
            elif listed.key not in referenced_keys:
                if key.attempt:
                    yield listed
                else:  # an operator's copy, for a re-export's result_file_ref
                    counts["unrecognised"] += 1
        ids = {key.export_id for _, key in unknown}
        due = self._unknown_exports.record(ids, self._policy.unknown_period)
        yield from (listed for listed, key in unknown if key.export_id in due)


def _ended_before(export: Export, instant: datetime) -> bool:
    return export.status.is_final and export.completed_at is not None and export.completed_at < instant


def _load_exports(session: Session, ids: Iterable[UUID]) -> dict[UUID, Export]:
    """Load the exports by id, of whatever organisation they are."""
    return {export.id: export for export in session.exec(select(Export).where(col(Export.id).in_(ids)))}


def _get_org_id(candidate: _Candidate) -> str:
    return candidate.key.org_id


def _split_pages(listed: Iterable[ListedObject]) -> Iterator[Sequence[ListedObject]]:
    iterator = iter(listed)
    while page := list(islice(iterator, _PAGE_SIZE)):
        yield page
