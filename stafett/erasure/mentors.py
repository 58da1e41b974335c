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
from stafett.erasure.export_scan import Copies, Copy, Found, Told
from stafett.erasure.journal import AtTheSource, Journal
from stafett.erasure.name_search import Mentions
from stafett.exports.file_removal import FileRemoval, lock_finished
from stafett.storage.files import FileStorage

REASON = "person_erased"
_FILES_AT_ONCE = 500
_AGAIN = "Wait for the end, or cancel, and run this again."


class MentorErasure:
    """Each step is one that may be done again; an export that begins after the first of them finds nothing to copy."""

    def __init__(self, database: Database, storage: FileStorage, journal: Journal) -> None:
        self._database = database
        self._storage = storage
        self._journal = journal
        self._copies = Copies(database, storage)
        self._mentions = Mentions(database)
        self._removal = FileRemoval(database, storage, actor=audit_trail.ERASURE_ACTOR, reason=REASON)

    def survey(self, person: Person, told: Told) -> ErasureReport:
        """What there is to be erased, and nothing changed."""
        with self._database.transaction(person.org_id) as session:
            present_name = _name(_mentor(session, person))
            notes = session.scalar(select(func.count()).select_from(Activity).where(*_with_note(person)))
            asked = session.scalar(select(func.count(col(BulkItem.batch_id))).where(*_asked_with_note(person)))
            files = session.scalar(select(func.count()).select_from(Attachment).where(_with_file(person)))
        name = present_name or self._journal.sought(person)
        copies = list(self._copies.of(person, name, told))
        touched = ErasureSummary(
            notes_cleared=(notes or 0) + (asked or 0),
            attachments_removed=files or 0,
            exports_emptied=tuple(_of(copy) for copy in copies if copy.found is Found.ROWS),
            activities_to_review=self._mentions.of(person, name),
            exports_to_review=_ids(copies, Found.MENTIONS),
            batches_to_review=self._mentions.batches_of(person, name),
        )
        running = _ids(copies, Found.IN_FLIGHT)
        return ErasureReport(person=person, dry_run=True, summary=touched, running_export_ids=running)

    def erase(self, person: Person, told: Told) -> ErasureSummary:
        """What is left for somebody to look at."""
        self._refuse_while_running(person, told)
        self._at_the_source(person)
        self._remove_attachments(person, told)
        to_look_at = self._empty_exports(person, told)
        told("Looking through notes", 0, 1)
        sought = self._journal.sought(person)
        mentioning, batches = self._mentions.of(person, sought), self._mentions.batches_of(person, sought)
        self._at_the_source(person)  # once more: what was being registered or previewed meanwhile
        told("Looking through notes", 1, 1)
        return to_look_at.merge(ErasureSummary(activities_to_review=mentioning, batches_to_review=batches))

    def _refuse_while_running(self, person: Person, told: Told) -> None:
        with self._database.transaction(person.org_id) as session:
            _mentor(session, person)
        if running := self._copies.running(person, told):
            raise InvalidStateError(f"{_named(running)} not ended, and may hold this mentor's activities. {_AGAIN}")

    def _at_the_source(self, person: Person) -> None:
        with self._database.transaction(person.org_id) as session:
            mentor = _mentor(session, person, held=True)
            name, changed = _name(mentor), mentor.active or mentor.display_name != ERASED_NAME
            if changed:
                mentor.display_name, mentor.active = ERASED_NAME, False
                session.add(mentor)
            cleared = update(Activity).where(*_with_note(person)).values(note=None).returning(col(Activity.id))
            notes = len(session.scalars(cleared).all()) + len(session.scalars(_without_notes(person)).all())
            session.execute(delete(PreviewResult).where(col(PreviewResult.org_id) == person.org_id))
            found = AtTheSource(name, changed or notes > 0, ErasureSummary(notes_cleared=notes))
            self._journal.begin(session, person, found)

    def _remove_attachments(self, person: Person, told: Told) -> None:
        """The objects first: a row that is left leads to them, an object without a row is found by nobody."""
        query = select(Attachment).where(_with_file(person)).order_by(col(Attachment.id)).limit(_FILES_AT_ONCE)
        removed = 0
        while True:
            told("Removing attachments", removed, removed)
            with self._database.transaction(person.org_id) as session:
                found = session.exec(query).all()
            if not found:
                return
            self._storage.remove(file.object_key for file in found)
            with self._database.transaction(person.org_id) as session:
                taken = delete(Attachment).where(col(Attachment.id).in_([file.id for file in found]))
                gone = session.scalars(taken.returning(col(Attachment.id))).all()
                if gone:
                    self._journal.add(session, person, ErasureSummary(attachments_removed=len(gone)))
            removed += len(found)

    def _empty_exports(self, person: Person, told: Told) -> ErasureSummary:
        copies, running = list[Copy](), list[UUID]()
        for copy in self._copies.of(person, self._journal.sought(person), told):
            copies.append(copy)
            if copy.found is Found.IN_FLIGHT or (copy.found is Found.ROWS and not self._emptied(person, copy)):
                running.append(copy.export.id)
        if running:
            raise InvalidStateError(
                f"The name is gone from where it was kept, but {_named(running, 'e')} not ended. {_AGAIN}"
            )
        return ErasureSummary(exports_to_review=_ids(copies, Found.MENTIONS))

    def _emptied(self, person: Person, copy: Copy) -> bool:
        """Written down first, so that it is known whatever happens; false if somebody tries it again just now."""
        job = copy.export.job
        with self._database.transaction(person.org_id) as session:
            export = lock_finished(session, job)
            if export is None or export.files_removed_at is not None:
                return export is not None
            self._journal.add(session, person, ErasureSummary(exports_emptied=(_of(copy),)))
        if self._removal.remove(job):
            return True
        return self._copies.refreshed(copy.export).files_removed_at is not None


def _mentor(session: Session, person: Person, *, held: bool = False) -> PeerMentor:
    query = select(PeerMentor).where(col(PeerMentor.org_id) == person.org_id, col(PeerMentor.id) == person.id)
    mentor = session.exec(query.with_for_update() if held else query).one_or_none()
    if mentor is None:
        raise NotFoundError(f"{person.org_id} has no peer mentor {person.id}.")
    return mentor


def _name(mentor: PeerMentor) -> str | None:
    return None if mentor.display_name == ERASED_NAME else mentor.display_name


def _with_note(person: Person) -> tuple[ColumnElement[bool], ...]:
    of_theirs = (col(Activity.org_id) == person.org_id, col(Activity.mentor_id) == person.id)
    return (*of_theirs, col(Activity.note).is_not(None))


def _asked_with_note(person: Person) -> tuple[ColumnElement[bool], ...]:
    """What a batch was asked to register for them."""
    of_theirs = (col(BulkItem.org_id) == person.org_id, col(BulkItem.mentor_id) == person.id)
    return (*of_theirs, col(BulkItem.overrides)["note"].as_string().is_not(None))


def _without_notes(person: Person) -> ReturningUpdate[tuple[UUID]]:
    emptied = func.jsonb_set(col(BulkItem.overrides), ["note"], text("'null'::jsonb"))
    asked = update(BulkItem).where(*_asked_with_note(person))
    return asked.values(overrides=emptied).returning(col(BulkItem.batch_id))


def _with_file(person: Person) -> ColumnElement[bool]:
    theirs = select(Activity.id).where(col(Activity.org_id) == person.org_id, col(Activity.mentor_id) == person.id)
    return col(Attachment.activity_id).in_(theirs)


def _of(copy: Copy) -> EmptiedExport:
    return EmptiedExport(id=copy.export.id, report_id=copy.export.report_id)


def _ids(copies: Iterable[Copy], found: Found) -> tuple[UUID, ...]:
    return tuple(copy.export.id for copy in copies if copy.found is found)


def _named(exports: Sequence[UUID], first_letter: str = "E") -> str:
    ids = ", ".join(map(str, exports))
    return f"{first_letter}xport {ids} has" if len(exports) == 1 else f"{first_letter}xports {ids} have"
