"""Texts in which a name may be: those that no user can change are cleared, the others are found."""

from typing import LiteralString, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlmodel import Session

from stafett.database.session import Database
from stafett.domain.erasure import ERASED_NAME, ErasureSummary, Person, PersonKind
from stafett.erasure.journal import ErasureJournal
from stafett.erasure.name_search import NameSearch

_REASONS: LiteralString = "SELECT id, request->>'reason' FROM report_reexports WHERE org_id = %s"
_DESCRIPTIONS: LiteralString = "SELECT id, description FROM webhooks WHERE org_id = %s"
_KEY_NAMES: LiteralString = "SELECT id, name FROM api_keys WHERE org_id = %s"
_LABELS: LiteralString = "SELECT id, label FROM report_reexports WHERE org_id = %s"
_REFERENCES: LiteralString = "SELECT report_id, submitted_reference FROM report_files WHERE org_id = %s"
_URLS: LiteralString = "SELECT id, url FROM webhooks WHERE org_id = %s"
_MAPPINGS: LiteralString = "SELECT id, document FROM column_mappings WHERE org_id = %s"
_BRANCHES: LiteralString = "SELECT id, branch FROM peer_mentors WHERE org_id = %s"
_KEYS: LiteralString = "SELECT resource_id, key FROM idempotency_keys WHERE org_id = %s"

_CLEAR_REASONS = text("""
WITH cleared_versions AS (
    UPDATE report_files SET reason = NULL WHERE org_id = :org_id AND reexport_id = ANY (:ids) AND reason IS NOT NULL
)
UPDATE report_reexports SET request = jsonb_set(request, '{reason}', 'null')
WHERE org_id = :org_id AND id = ANY (:ids)
""")
_CLEAR_DESCRIPTIONS = text("UPDATE webhooks SET description = NULL WHERE org_id = :org_id AND id = ANY (:ids)")
_CLEAR_KEY_NAMES = text("UPDATE api_keys SET name = :name WHERE org_id = :org_id AND id = ANY (:ids)").bindparams(
    name=ERASED_NAME
)
_BATCHES_OF_MENTOR = text("SELECT DISTINCT batch_id FROM bulk_items WHERE org_id = :org_id AND mentor_id = :mentor_id")
_DELETE_KEYS = text("DELETE FROM idempotency_keys WHERE org_id = :org_id AND resource_id = ANY (:ids) RETURNING 1")
_COUNT_KEYS = text("SELECT count(*) FROM idempotency_keys WHERE org_id = :org_id AND resource_id = ANY (:ids)")


class _Clearable(NamedTuple):
    """Records whose text names the person, and those whose idempotency key is of a request about the person."""

    reasons: tuple[UUID, ...]
    descriptions: tuple[UUID, ...]
    key_names: tuple[UUID, ...]
    keyed_resources: list[UUID]

    @property
    def text_count(self) -> int:
        return len(self.reasons) + len(self.descriptions) + len(self.key_names)


class FreeTextErasure:
    """Clears and finds texts. A program must clear those that users cannot change: reasons, descriptions, key names."""

    def __init__(self, database: Database, journal: ErasureJournal) -> None:
        self._database = database
        self._journal = journal
        self._name_search = NameSearch(database)

    def clear(self, person: Person, name: str | None) -> None:
        """Clear the texts and delete the idempotency keys, and record their numbers."""
        clearable = self._find_clearable(person, name)
        with self._database.transaction(person.org_id) as session:
            _execute_for_ids(session, _CLEAR_REASONS, person, clearable.reasons)
            _execute_for_ids(session, _CLEAR_DESCRIPTIONS, person, clearable.descriptions)
            _execute_for_ids(session, _CLEAR_KEY_NAMES, person, clearable.key_names)
            keys = session.execute(_DELETE_KEYS, {"org_id": person.org_id, "ids": clearable.keyed_resources}).all()
            if clearable.text_count or keys:
                summary = ErasureSummary(texts_cleared=clearable.text_count, idempotency_keys_removed=len(keys))
                self._journal.add_to_summary(session, person, summary)

    def count_clearable(self, person: Person, name: str | None) -> ErasureSummary:
        """Count what ``clear`` would clear."""
        clearable = self._find_clearable(person, name)
        with self._database.transaction(person.org_id) as session:
            keys = session.scalar(_COUNT_KEYS, {"org_id": person.org_id, "ids": clearable.keyed_resources})
        return ErasureSummary(texts_cleared=clearable.text_count, idempotency_keys_removed=keys or 0)

    def find_to_review(self, person: Person, name: str | None) -> ErasureSummary:
        """Find the records with a text that names the person and that an administrator can change."""
        find = self._name_search.find
        return ErasureSummary(
            activities_to_review=self._name_search.find_activities(person, name),
            batches_to_review=self._name_search.find_batches(person, name),
            reexports_to_review=find(person, name, _LABELS),
            reports_to_review=find(person, name, _REFERENCES),
            webhooks_to_review=find(person, name, _URLS),
            mappings_to_review=find(person, name, _MAPPINGS),
            mentors_to_review=find(person, name, _BRANCHES),
        )

    def _find_clearable(self, person: Person, name: str | None) -> _Clearable:
        find = self._name_search.find
        keyed_resources = [*self._list_requests_about(person), *find(person, name, _KEYS)]
        return _Clearable(
            find(person, name, _REASONS),
            find(person, name, _DESCRIPTIONS),
            find(person, name, _KEY_NAMES),
            keyed_resources,
        )

    def _list_requests_about(self, person: Person) -> list[UUID]:
        """List the mentor and the batches with the mentor: their keys have a hash of the whole request."""
        if person.kind is not PersonKind.MENTOR:
            return []
        with self._database.transaction(person.org_id) as session:
            batches = session.scalars(_BATCHES_OF_MENTOR, {"org_id": person.org_id, "mentor_id": person.id}).all()
        return [person.id, *batches]


def _execute_for_ids(session: Session, statement: TextClause, person: Person, ids: tuple[UUID, ...]) -> None:
    if ids:
        session.execute(statement, {"org_id": person.org_id, "ids": list(ids)})
