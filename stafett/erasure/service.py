"""``stafett erase-person``: begun, gone on with after whatever stopped it, done once."""

import psycopg
from sqlmodel import col, select

from stafett.database.migrate import OWNER_ROLE
from stafett.database.session import Database
from stafett.database.tables import Organisation
from stafett.domain.erasure import ErasureReport, Person, PersonKind
from stafett.domain.errors import NotFoundError
from stafett.erasure.export_scan import ErasureProgressCallback
from stafett.erasure.journal import ErasureJournal
from stafett.erasure.mentors import MentorErasure
from stafett.erasure.users import UserErasure
from stafett.storage.files import FileStorage


class ErasureService:
    """Two at once do it together: every step holds what it changes, and finds nothing to change the second time."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._journal = ErasureJournal(database)
        self._mentor_erasure = MentorErasure(database, storage, self._journal)
        self._user_erasure = UserErasure(database, self._journal)

    def dry_run(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureReport:
        """What an erasure would touch now, and what earlier ones have."""
        self._require_organisation(person.org_id)
        match person.kind:
            case PersonKind.MENTOR:
                found = self._mentor_erasure.dry_run(person, report_progress)
            case PersonKind.USER:
                found = self._user_erasure.dry_run(person)
        before = self._journal.load_report(person)
        dates = {"started_at": before.started_at, "finished_at": before.finished_at}
        return found.model_copy(update={"summary": before.summary.merge(found.summary), **dates})

    def erase(self, person: Person, report_progress: ErasureProgressCallback) -> ErasureReport:
        """Everything that this run and any before it have touched."""
        self._require_organisation(person.org_id)
        kept_for: tuple[str, ...] = ()
        match person.kind:
            case PersonKind.MENTOR:
                to_look_at = self._mentor_erasure.erase(person, report_progress)
            case PersonKind.USER:
                to_look_at = self._user_erasure.erase(person)
                kept_for = self._user_erasure.list_other_organisations(person)
        is_news = self._journal.finish(person, to_look_at)
        report = self._journal.load_report(person)
        return report.model_copy(update={"already_erased": not is_news, "account_retained_for": kept_for})

    def _require_organisation(self, org_id: str) -> None:
        with self._database.transaction(org_id) as session:
            if session.scalar(select(Organisation.id).where(col(Organisation.id) == org_id)) is None:
                raise NotFoundError(f"There is no organisation {org_id}.")


_ERASED_TABLES = "peer_mentors, activities, attachments, users, preview_results, erasures"


def vacuum_erased_tables(owner_url: str) -> bool:
    """False if PostgreSQL would not; nothing of it can be read by any of our roles, so it can be done later."""
    try:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(f"SET ROLE {OWNER_ROLE}".encode())
            connection.execute(f"VACUUM (ANALYZE) {_ERASED_TABLES}".encode())
    except psycopg.Error:
        return False
    return True
