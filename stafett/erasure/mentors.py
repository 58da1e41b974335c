"""Peer mentors: their activities stay as countable facts under the opaque id, all that tells who it was goes."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, text, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import Activity, Attachment, BulkItem, PeerMentor, PreviewResult
from stafett.domain.erasure import ERASED_NAME, EmptiedExport, ErasureReport, ErasureSummary, Person
from stafett.domain.errors import InvalidStateError, NotFoundError
from stafett.erasure.export_scan import ErasureProgressCallback, ExportScanner, ScanFinding, ScannedExport
from stafett.erasure.journal import ErasureJournal, SourceErasure
from stafett.erasure.name_search import NameSearch
from stafett.exports.file_removal import FileRemoval, lock_finished
from stafett.storage.files import FileStorage

REMOVAL_REASON = "person_erased"
_ATTACHMENTS_PER_PAGE = 500
_RETRY_HINT = "Wait for the end, or cancel, and run this again."


class MentorErasure:
    """Each step is one that may be done again; an export that begins after the first of them finds nothing to copy."""

    def __init__(self, database: Database, storage: FileStorage, journal: ErasureJournal) -> None:
        self._database = database
        self._storage = storage
        self._journal = journal
        self._scanner = ExportScanner(database, storage)
        self._name_search = NameSearch(database)
        self._file_removal = FileRemoval(database, storage, actor=audit_trail.ERASURE_ACTOR, reason=REMOVAL_REASON)

    def dry_run(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureReport:
        """What there is to be erased, and nothing changed."""
        with self._database.transaction(person.org_id) as session:
            present_name = _current_name(_get_mentor_or_404(session, person))
            notes = session.scalar(select(func.count()).select_from(Activity).where(*_activity_note_filter(person)))
            asked = session.scalar(select(func.count(col(BulkItem.batch_id))).where(*_item_note_filter(person)))
            files = session.scalar(select(func.count()).select_from(Attachment).where(_attachment_filter(person)))
        name = present_name or self._journal.get_search_name(person)
        copies = list(self._scanner.scan(person, name, report_progress))
        touched = ErasureSummary(
            notes_cleared=(notes or 0) + (asked or 0),
            attachments_removed=files or 0,
            exports_emptied=tuple(
                _emptied_export_from_scan(copy) for copy in copies if copy.finding is ScanFinding.ROWS
            ),
            activities_to_review=self._name_search.find_activities(person, name),
            exports_to_review=_list_export_ids(copies, ScanFinding.MENTIONS),
            batches_to_review=self._name_search.find_batches(person, name),
        )
        running = _list_export_ids(copies, ScanFinding.IN_FLIGHT)
        return ErasureReport(person=person, dry_run=True, summary=touched, running_export_ids=running)

    def erase(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureSummary:
        """What is left for somebody to look at."""
        self._require_no_running_exports(person, report_progress)
        self._erase_source(person)
        self._remove_attachments(person, report_progress)
        to_look_at = self._empty_exports(person, report_progress)
        report_progress("Looking through notes", 0, 1)
        sought = self._journal.get_search_name(person)
        mentioning, batches = (
            self._name_search.find_activities(person, sought),
            self._name_search.find_batches(person, sought),
        )
        self._erase_source(person)  # once more: what was being registered or previewed meanwhile
        report_progress("Looking through notes", 1, 1)
        return to_look_at.merge(ErasureSummary(activities_to_review=mentioning, batches_to_review=batches))

    def _require_no_running_exports(self, person: Person, report_progress: ErasureProgressCallback) -> None:
        with self._database.transaction(person.org_id) as session:
            _get_mentor_or_404(session, person)
        if running := self._scanner.list_running(person, report_progress):
            raise InvalidStateError(
                f"{_describe_exports(running)} not ended, and may hold this mentor's activities. {_RETRY_HINT}"
            )

    def _erase_source(self, person: Person) -> None:
        with self._database.transaction(person.org_id) as session:
            mentor = _get_mentor_or_404(session, person, for_update=True)
            name, changed = _current_name(mentor), mentor.active or mentor.display_name != ERASED_NAME
            if changed:
                mentor.display_name, mentor.active = ERASED_NAME, False
                session.add(mentor)
            cleared = (
                update(Activity).where(*_activity_note_filter(person)).values(note=None).returning(col(Activity.id))
            )
            notes = len(session.scalars(cleared).all()) + len(session.scalars(_clear_item_notes(person)).all())
            session.execute(delete(PreviewResult).where(col(PreviewResult.org_id) == person.org_id))
            found = SourceErasure(name, changed or notes > 0, ErasureSummary(notes_cleared=notes))
            self._journal.start(session, person, found)

    def _remove_attachments(self, person: Person, report_progress: ErasureProgressCallback) -> None:
        """The objects first: a row that is left leads to them, an object without a row is found by nobody."""
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
                found = session.exec(query).all()
            if not found:
                return
            self._storage.delete(file.object_key for file in found)
            with self._database.transaction(person.org_id) as session:
                taken = delete(Attachment).where(col(Attachment.id).in_([file.id for file in found]))
                gone = session.scalars(taken.returning(col(Attachment.id))).all()
                if gone:
                    self._journal.add_to_summary(session, person, ErasureSummary(attachments_removed=len(gone)))
            removed += len(found)

    def _empty_exports(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureSummary:
        copies, running = list[ScannedExport](), list[UUID]()
        for copy in self._scanner.scan(person, self._journal.get_search_name(person), report_progress):
            copies.append(copy)
            if copy.finding is ScanFinding.IN_FLIGHT or (
                copy.finding is ScanFinding.ROWS and not self._empty_export(person, copy)
            ):
                running.append(copy.export.id)
        if running:
            raise InvalidStateError(
                f"The name is erased at its source, but {_describe_exports(running, 'e')} not finished. {_RETRY_HINT}"
            )
        return ErasureSummary(exports_to_review=_list_export_ids(copies, ScanFinding.MENTIONS))

    def _empty_export(self, person: Person, scanned: ScannedExport) -> bool:
        """Written down first, so that it is known whatever happens; false if somebody tries it again just now."""
        job = scanned.export.job
        with self._database.transaction(person.org_id) as session:
            export = lock_finished(session, job)
            if export is None or export.files_removed_at is not None:
                return export is not None
            self._journal.add_to_summary(
                session, person, ErasureSummary(exports_emptied=(_emptied_export_from_scan(scanned),))
            )
        if self._file_removal.remove(job):
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
    of_theirs = (col(Activity.org_id) == person.org_id, col(Activity.mentor_id) == person.id)
    return (*of_theirs, col(Activity.note).is_not(None))


def _item_note_filter(person: Person) -> tuple[ColumnElement[bool], ...]:
    """What a batch was asked to register for them."""
    of_theirs = (col(BulkItem.org_id) == person.org_id, col(BulkItem.mentor_id) == person.id)
    return (*of_theirs, col(BulkItem.overrides)["note"].as_string().is_not(None))


def _clear_item_notes(person: Person) -> ReturningUpdate[tuple[UUID]]:
    emptied = func.jsonb_set(col(BulkItem.overrides), ["note"], text("'null'::jsonb"))
    asked = update(BulkItem).where(*_item_note_filter(person))
    return asked.values(overrides=emptied).returning(col(BulkItem.batch_id))


def _attachment_filter(person: Person) -> ColumnElement[bool]:
    theirs = select(Activity.id).where(col(Activity.org_id) == person.org_id, col(Activity.mentor_id) == person.id)
    return col(Attachment.activity_id).in_(theirs)


def _emptied_export_from_scan(scanned: ScannedExport) -> EmptiedExport:
    return EmptiedExport(id=scanned.export.id, report_id=scanned.export.report_id)


def _list_export_ids(scanned: Iterable[ScannedExport], finding: ScanFinding) -> tuple[UUID, ...]:
    return tuple(copy.export.id for copy in scanned if copy.finding is finding)


def _describe_exports(export_ids: Sequence[UUID], first_letter: str = "E") -> str:
    ids = ", ".join(map(str, export_ids))
    return f"{first_letter}xport {ids} has" if len(export_ids) == 1 else f"{first_letter}xports {ids} have"
