"""Progress of an erasure by opaque ids, and the name for as long as its copies are searched for."""

from typing import Any, NamedTuple

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.session import Database
from stafett.database.tables import Erasure
from stafett.domain.erasure import ErasureReport, ErasureSummary, Person

STARTED_EVENT, ERASED_EVENT = "person_erasure_begun", "person_erased"


class SourceErasure(NamedTuple):
    """Result of erasing a person at the source: the name, if it was still there, and whether anything was changed."""

    name: str | None
    changed: bool
    summary: ErasureSummary = ErasureSummary()


class ErasureJournal:
    """Writes each entry in the transaction that advances the erasure, with an audit event at its start and end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, session: Session, person: Person, source: SourceErasure) -> None:
        """Record the start, last in the transaction that erases the name; write nothing if nothing changed."""
        row = _lock_row(session, person)
        if row is not None and row.finished_at is not None and not source.changed:
            return
        summary = _summary_from_row(row).merge(source.summary)
        _upsert(session, person, summary, search_name=(row.search_name if row else None) or source.name)
        if row is None or row.finished_at is not None:
            audit_trail.append_audit_event(session, _build_audit_entry(person, STARTED_EVENT, {"kind": person.kind}))

    def add_to_summary(self, session: Session, person: Person, summary: ErasureSummary) -> None:
        """Add to the summary; an erasure that had finished must be finished again."""
        _upsert(session, person, _summary_from_row(_lock_row(session, person)).merge(summary))

    def has_erasure(self, session: Session, person: Person) -> bool:
        """Check whether an erasure of the person has been started."""
        return session.get(Erasure, _build_primary_key(person)) is not None

    def get_search_name(self, person: Person) -> str | None:
        """Return the name that copies are searched for."""
        with self._database.transaction(person.org_id) as session:
            row = session.get(Erasure, _build_primary_key(person))
        return None if row is None else row.search_name

    def finish(self, person: Person, to_review: ErasureSummary) -> bool:
        """Delete the name here too and record the end; return False if there was nothing to finish."""
        with self._database.transaction(person.org_id) as session:
            row = _lock_row(session, person)
            if row is None or row.finished_at is not None:
                return False
            summary = _summary_from_row(row).merge(to_review)
            _upsert(session, person, summary, search_name=None, finished_at=func.clock_timestamp())
            audit_trail.append_audit_event(
                session, _build_audit_entry(person, ERASED_EVENT, {"kind": person.kind, **summary.counts})
            )
            return True

    def load_report(self, person: Person) -> ErasureReport:
        """Load what all runs together have recorded so far."""
        with self._database.transaction(person.org_id) as session:
            row = session.get(Erasure, _build_primary_key(person))
        if row is None:
            return ErasureReport(person=person)
        return ErasureReport(
            person=person, started_at=row.started_at, finished_at=row.finished_at, summary=_summary_from_row(row)
        )


def _build_primary_key(person: Person) -> tuple[object, ...]:
    return person.org_id, person.kind, person.id


def _lock_row(session: Session, person: Person) -> Erasure | None:
    query = select(Erasure).where(
        col(Erasure.org_id) == person.org_id,
        col(Erasure.kind) == person.kind,
        col(Erasure.person_id) == person.id,
    )
    return session.exec(query.with_for_update()).one_or_none()


def _summary_from_row(row: Erasure | None) -> ErasureSummary:
    return ErasureSummary() if row is None else ErasureSummary.model_validate(row.summary)


def _upsert(session: Session, person: Person, summary: ErasureSummary, **values: Any) -> None:
    """Insert or update the row, as unfinished unless ``values`` sets ``finished_at``."""
    values = {"summary": summary.model_dump(mode="json"), "finished_at": None} | values
    key = {"org_id": person.org_id, "kind": person.kind, "person_id": person.id}
    row = insert(Erasure).values(**key, **values)
    session.execute(row.on_conflict_do_update(index_elements=list(key), set_=values))


def _build_audit_entry(person: Person, event: str, detail: EventDetail) -> AuditEntry:
    return AuditEntry(
        org_id=person.org_id,
        actor=audit_trail.ERASURE_ACTOR,
        event=event,
        subject_kind="person",
        subject_id=person.id,
        detail=detail,
    )
