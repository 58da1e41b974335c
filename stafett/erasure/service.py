"""Erases a person for ``stafett erase-person``; an interrupted erasure continues when it is run again."""

import psycopg
from sqlmodel import col, select

from stafett.database.migrate import OWNER_ROLE
from stafett.database.session import Database
from stafett.database.tables import Organisation, PeerMentor, User
from stafett.domain.erasure import ErasureReport, Person, PersonKind
from stafett.domain.errors import NotFoundError
from stafett.erasure.export_scan import ErasureProgressCallback
from stafett.erasure.journal import ErasureJournal
from stafett.erasure.mentors import MentorErasure
from stafett.erasure.users import UserErasure
from stafett.exports.handed_in import RemovalConfirmation
from stafett.storage.files import FileStorage


class ErasureService:
    """Erases persons. Concurrent runs share the work: each step locks what it changes, and repeats change nothing."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._journal = ErasureJournal(database)
        self._mentor_erasure = MentorErasure(database, storage, self._journal)
        self._user_erasure = UserErasure(database, self._journal)

    def load_name(self, person: Person) -> str | None:
        """Load the person's name for the confirmation. It belongs in no report, event or log."""
        table = PeerMentor if person.kind is PersonKind.MENTOR else User
        with self._database.transaction(person.org_id, user_id=person.id) as session:
            return session.scalar(select(table.display_name).where(col(table.id) == person.id))

    def dry_run(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureReport:
        """Report what an erasure would change now, and what earlier runs have changed."""
        self._require_organisation(person.org_id)
        match person.kind:
            case PersonKind.MENTOR:
                report = self._mentor_erasure.dry_run(person, report_progress)
            case PersonKind.USER:
                report = self._user_erasure.dry_run(person)
        earlier = self._journal.load_report(person)
        dates = {"started_at": earlier.started_at, "finished_at": earlier.finished_at}
        return report.model_copy(update={"summary": earlier.summary.merge(report.summary), **dates})

    def erase(
        self,
        person: Person,
        report_progress: ErasureProgressCallback,
        confirmation: RemovalConfirmation | None = None,
    ) -> ErasureReport:
        """Erase the person, and report what this run and all earlier ones have changed.

        Removing the file of a version that was handed in to Bufdir needs a confirmation.
        """
        self._require_organisation(person.org_id)
        retained_for: tuple[str, ...] = ()
        match person.kind:
            case PersonKind.MENTOR:
                to_review = self._mentor_erasure.erase(person, report_progress, confirmation)
            case PersonKind.USER:
                to_review = self._user_erasure.erase(person)
                retained_for = self._user_erasure.list_other_organisations(person)
        has_finished_now = self._journal.finish(person, to_review)
        report = self._journal.load_report(person)
        return report.model_copy(update={"already_erased": not has_finished_now, "account_retained_for": retained_for})

    def _require_organisation(self, org_id: str) -> None:
        with self._database.transaction(org_id) as session:
            if session.scalar(select(Organisation.id).where(col(Organisation.id) == org_id)) is None:
                raise NotFoundError(f"There is no organisation {org_id}.")


_ERASED_TABLES = (
    "peer_mentors, activities, attachments, bulk_registrations, bulk_items, users, user_identities, api_keys, "
    "report_reexports, report_files, webhooks, idempotency_keys, preview_results, erasures"
)


def vacuum_erased_tables(owner_url: str) -> bool:
    """Remove the erased rows from PostgreSQL's files; return False if it fails.

    None of our roles can read those rows, so that it can be done later.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(f"SET ROLE {OWNER_ROLE}".encode())
            connection.execute(f"VACUUM (ANALYZE) {_ERASED_TABLES}".encode())
    except psycopg.Error:
        return False
    return True
