"""How far an erasure has come, by opaque ids; and the name, for as long as copies of it are looked for."""

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
    """What was found where a person is kept: the name, if it is still there, and whether anything had to be changed."""

    name: str | None
    changed: bool
    summary: ErasureSummary = ErasureSummary()


class ErasureJournal:
    """Each entry in the transaction that carries the erasure further, with its audit event where one is due."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, session: Session, person: Person, source: SourceErasure) -> None:
        """The last thing in the transaction that takes the name away; nothing is written if nothing was."""
        row = _lock_row(session, person)
        if row is not None and row.finished_at is not None and not source.changed:
            return
        touched = _summary_from_row(row).merge(source.summary)
        _upsert(session, person, touched, sought=(row.sought if row else None) or source.name)
        if row is None or row.finished_at is not None:
            audit_trail.append_audit_event(session, _build_audit_entry(person, STARTED_EVENT, {"kind": person.kind}))

    def add_to_summary(self, session: Session, person: Person, summary: ErasureSummary) -> None:
        """Something more; an erasure that was finished before is to be finished again."""
        _upsert(session, person, _summary_from_row(_lock_row(session, person)).merge(summary))

    def has_erasure(self, session: Session, person: Person) -> bool:
        """Whether an erasure of theirs was begun."""
        return session.get(Erasure, _build_primary_key(person)) is not None

    def get_search_name(self, person: Person) -> str | None:
        """The name that copies are looked through for."""
        with self._database.transaction(person.org_id) as session:
            row = session.get(Erasure, _build_primary_key(person))
        return None if row is None else row.sought

    def finish(self, person: Person, to_review: ErasureSummary) -> bool:
        """Forget the name here too; false if there was nothing to finish."""
        with self._database.transaction(person.org_id) as session:
            row = _lock_row(session, person)
            if row is None or row.finished_at is not None:
                return False
            touched = _summary_from_row(row).merge(to_review)
            _upsert(session, person, touched, sought=None, finished_at=func.clock_timestamp())
            audit_trail.append_audit_event(
                session, _build_audit_entry(person, ERASED_EVENT, {"kind": person.kind, **touched.counts})
            )
            return True

    def load_report(self, person: Person) -> ErasureReport:
        """What was written down so far, of every run together."""
        with self._database.transaction(person.org_id) as session:
            row = session.get(Erasure, _build_primary_key(person))
        if row is None:
            return ErasureReport(person=person)
        return ErasureReport(
            person=person, started_at=row.begun_at, finished_at=row.finished_at, summary=_summary_from_row(row)
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
    return ErasureSummary() if row is None else ErasureSummary.model_validate(row.touched)


def _upsert(session: Session, person: Person, summary: ErasureSummary, **values: Any) -> None:
    """Unfinished, unless the values say otherwise."""
    values = {"touched": summary.model_dump(mode="json"), "finished_at": None} | values
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
