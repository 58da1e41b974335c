"""Erases peer mentors: their activities stay as countable facts under the opaque id; identifying data goes."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, text, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import Activity, Attachment, BulkBatch, BulkItem, Export, PeerMentor, PreviewResult
from stafett.domain.erasure import ERASED_NAME, EmptiedExport, ErasureReport, ErasureSummary, Person
from stafett.domain.errors import InvalidStateError, NotFoundError
from stafett.erasure.batch_notes import (
    clear_own_batch_notes,
    list_batches_with_shared_note,
    own_batch_note_filter,
)
from stafett.erasure.export_scan import ErasureProgressCallback, ExportScanner, ScanFinding, ScannedExport
from stafett.erasure.free_texts import FreeTextErasure
from stafett.erasure.journal import ErasureJournal, SourceErasure
from stafett.exports.file_removal import FileRemoval, lock_finished_export
from stafett.exports.handed_in import RemovalConfirmation, find_handed_in_version, require_confirmation
from stafett.storage.files import FileStorage

REMOVAL_REASON = "person_erased"
_ATTACHMENTS_PER_PAGE = 500
_RETRY_HINT = "Wait for all running exports to end, or cancel them, then run the command again."


class MentorErasure:
    """Erases mentors in repeatable steps; an export that starts after the first step finds nothing to copy."""

    def __init__(self, database: Database, storage: FileStorage, journal: ErasureJournal) -> None:
        self._database = database
        self._storage = storage
        self._journal = journal
        self._scanner = ExportScanner(database, storage)
        self._free_texts = FreeTextErasure(database, journal)
        self._file_removal = FileRemoval(database, storage, actor=audit_trail.ERASURE_ACTOR, reason=REMOVAL_REASON)

    def dry_run(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureReport:
        """Report what would be erased, without changing anything."""
        with self._database.transaction(person.org_id) as session:
            current_name = _current_name(_get_mentor_or_404(session, person))
            activity_note_count = session.scalar(
                select(func.count()).select_from(Activity).where(*_activity_note_filter(person))
            )
            item_note_count = session.scalar(
                select(func.count(col(BulkItem.batch_id))).where(*_item_note_filter(person))
            )
            batch_note_count = session.scalar(
                select(func.count(col(BulkBatch.id))).where(*own_batch_note_filter(person))
            )
            attachment_count = session.scalar(
                select(func.count()).select_from(Attachment).where(_attachment_filter(person))
            )
        name = current_name or self._journal.get_search_name(person)
        scanned_exports = list(self._scanner.scan(person, name, report_progress))
        with self._database.transaction(person.org_id) as session:
            emptied = tuple(
                _describe_emptied(session, scanned.export)
                for scanned in scanned_exports
                if scanned.finding is ScanFinding.ROWS
            )
        summary = ErasureSummary(
            notes_cleared=(activity_note_count or 0) + (item_note_count or 0) + (batch_note_count or 0),
            attachments_removed=attachment_count or 0,
            exports_emptied=emptied,
            exports_to_review=_list_export_ids(scanned_exports, ScanFinding.MENTIONS),
        )
        summary = summary.merge(self._free_texts.count_clearable(person, name))
        summary = summary.merge(self._find_texts_to_review(person, name))
        running = _list_export_ids(scanned_exports, ScanFinding.IN_FLIGHT)
        return ErasureReport(person=person, dry_run=True, summary=summary, running_export_ids=running)

    def erase(
        self, person: Person, report_progress: ErasureProgressCallback, confirmation: RemovalConfirmation | None
    ) -> ErasureSummary:
        """Erase the mentor, and return what the operator has to review.

        Nothing is changed if a version that was handed in would be removed without a confirmation.
        """
        self._require_no_running_exports(person, report_progress)
        self._require_confirmation(person, report_progress, confirmation)
        self._anonymise_mentor_and_notes(person)
        self._remove_attachments(person, report_progress)
        to_review = self._remove_export_files(person, report_progress, confirmation)
        report_progress("Searching notes", 0, 1)
        name = self._journal.get_search_name(person)
        self._free_texts.clear(person, name)
        to_review = to_review.merge(self._find_texts_to_review(person, name))
        self._anonymise_mentor_and_notes(person)  # again, for what was being registered or previewed meanwhile
        report_progress("Searching notes", 1, 1)
        return to_review

    def _find_texts_to_review(self, person: Person, name: str | None) -> ErasureSummary:
        with self._database.transaction(person.org_id) as session:
            shared_batches = list_batches_with_shared_note(session, person)
        of_shared_notes = ErasureSummary(batches_to_review=tuple(shared_batches))
        return of_shared_notes.merge(self._free_texts.find_to_review(person, name))

    def _require_no_running_exports(self, person: Person, report_progress: ErasureProgressCallback) -> None:
        with self._database.transaction(person.org_id) as session:
            _get_mentor_or_404(session, person)
        if running := self._scanner.list_running(person, report_progress):
            raise InvalidStateError(
                f"{_describe_exports(running)} not ended and may contain this mentor's activities. {_RETRY_HINT}"
            )

    def _require_confirmation(
        self, person: Person, report_progress: ErasureProgressCallback, confirmation: RemovalConfirmation | None
    ) -> None:
        """Raise if a version that was handed in has the mentor's rows, and its removal is not confirmed."""
        if confirmation is None and (export := self._scanner.find_handed_in(person, report_progress)):
            with self._database.transaction(person.org_id) as session:
                require_confirmation(session, export.job, confirmation)

    def _anonymise_mentor_and_notes(self, person: Person) -> None:
        """Erase the name, the notes and the organisation's preview results, which may show them. Idempotent."""
        with self._database.transaction(person.org_id) as session:
            mentor = _get_mentor_or_404(session, person, for_update=True)
            name, changed = _current_name(mentor), mentor.active or mentor.display_name != ERASED_NAME
            if changed:
                mentor.display_name, mentor.active = ERASED_NAME, False
                session.add(mentor)
            cleared = (
                update(Activity).where(*_activity_note_filter(person)).values(note=None).returning(col(Activity.id))
            )
            clear_batches = clear_own_batch_notes(person)
            notes = sum(
                len(session.scalars(statement).all())
                for statement in (cleared, clear_batches, _clear_item_notes(person))
            )
            session.execute(delete(PreviewResult).where(col(PreviewResult.org_id) == person.org_id))
            source = SourceErasure(name, changed or notes > 0, ErasureSummary(notes_cleared=notes))
            self._journal.start(session, person, source)

    def _remove_attachments(self, person: Person, report_progress: ErasureProgressCallback) -> None:
        """Delete each object before its row, so that a crash leaves a row that still leads to its object."""
        query = (
            select(Attachment)
            .where(_attachment_filter(person))
            .order_by(col(Attachment.id))
            .limit(_ATTACHMENTS_PER_PAGE)
        )
        removed = 0
        while True:
            report_progress("Removing attachments", removed, removed)
            with self._database.transaction(person.org_id) as session:
                attachments = session.exec(query).all()
            if not attachments:
                return
            self._storage.delete(attachment.object_key for attachment in attachments)
            with self._database.transaction(person.org_id) as session:
                statement = delete(Attachment).where(
                    col(Attachment.id).in_([attachment.id for attachment in attachments])
                )
                removed_ids = session.scalars(statement.returning(col(Attachment.id))).all()
                if removed_ids:
                    self._journal.add_to_summary(session, person, ErasureSummary(attachments_removed=len(removed_ids)))
            removed += len(attachments)

    def _remove_export_files(
        self, person: Person, report_progress: ErasureProgressCallback, confirmation: RemovalConfirmation | None
    ) -> ErasureSummary:
        scanned_exports, running = list[ScannedExport](), list[UUID]()
        for scanned in self._scanner.scan(person, self._journal.get_search_name(person), report_progress):
            scanned_exports.append(scanned)
            if scanned.finding is ScanFinding.IN_FLIGHT or (
                scanned.finding is ScanFinding.ROWS and not self._remove_files_of(person, scanned, confirmation)
            ):
                running.append(scanned.export.id)
        if running:
            raise InvalidStateError(
                f"The name is erased at its source, but {_describe_exports(running, 'export')} not ended. {_RETRY_HINT}"
            )
        return ErasureSummary(exports_to_review=_list_export_ids(scanned_exports, ScanFinding.MENTIONS))

    def _remove_files_of(
        self, person: Person, scanned: ScannedExport, confirmation: RemovalConfirmation | None
    ) -> bool:
        """Record the export before removing its files, lest a crash hide it; return False if it is being retried."""
        job = scanned.export.job
        with self._database.transaction(person.org_id) as session:
            export = lock_finished_export(session, job)
            if export is None or export.files_removed_at is not None:
                return export is not None
            require_confirmation(session, job, confirmation)
            emptied = _describe_emptied(session, export)
            self._journal.add_to_summary(session, person, ErasureSummary(exports_emptied=(emptied,)))
        if self._file_removal.remove(job, confirmation):
            return True
        return self._scanner.reload(scanned.export).files_removed_at is not None


def _get_mentor_or_404(session: Session, person: Person, *, for_update: bool = False) -> PeerMentor:
    query = select(PeerMentor).where(col(PeerMentor.org_id) == person.org_id, col(PeerMentor.id) == person.id)
    mentor = session.exec(query.with_for_update() if for_update else query).one_or_none()
    if mentor is None:
        raise NotFoundError(f"{person.org_id} has no peer mentor {person.id}.")
    return mentor


def _current_name(mentor: PeerMentor) -> str | None:
    return None if mentor.display_name == ERASED_NAME else mentor.display_name


def _activity_note_filter(person: Person) -> tuple[ColumnElement[bool], ...]:
    is_of_mentor = (col(Activity.org_id) == person.org_id, col(Activity.mentor_id) == person.id)
    return (*is_of_mentor, col(Activity.note).is_not(None))


def _item_note_filter(person: Person) -> tuple[ColumnElement[bool], ...]:
    """Match the mentor's items of batches that have a note of their own."""
    is_of_mentor = (col(BulkItem.org_id) == person.org_id, col(BulkItem.mentor_id) == person.id)
    return (*is_of_mentor, col(BulkItem.overrides)["note"].as_string().is_not(None))


def _clear_item_notes(person: Person) -> ReturningUpdate[tuple[UUID]]:
    emptied = func.jsonb_set(col(BulkItem.overrides), ["note"], text("'null'::jsonb"))
    statement = update(BulkItem).where(*_item_note_filter(person))
    return statement.values(overrides=emptied).returning(col(BulkItem.batch_id))


def _attachment_filter(person: Person) -> ColumnElement[bool]:
    theirs = select(Activity.id).where(col(Activity.org_id) == person.org_id, col(Activity.mentor_id) == person.id)
    return col(Attachment.activity_id).in_(theirs)


def _describe_emptied(session: Session, export: Export) -> EmptiedExport:
    version = find_handed_in_version(session, export.job)
    if version is None:
        return EmptiedExport(id=export.id, report_id=export.report_id)
    return EmptiedExport(id=export.id, report_id=version.report_id, handed_in_version=version.version)


def _list_export_ids(scanned_exports: Iterable[ScannedExport], finding: ScanFinding) -> tuple[UUID, ...]:
    return tuple(scanned.export.id for scanned in scanned_exports if scanned.finding is finding)


def _describe_exports(export_ids: Sequence[UUID], noun: str = "Export") -> str:
    ids = ", ".join(map(str, export_ids))
    return f"{noun} {ids} has" if len(export_ids) == 1 else f"{noun}s {ids} have"
