"""Erasure of a user: the opaque id stays where it records who did something, and no longer identifies a person."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import ERASED_NAME, Person, PersonKind
from stafett.domain.errors import DeliveryError, NotFoundError
from stafett.domain.membership import Role
from stafett.domain.notification import Channel, DeliveryRef
from stafett.erasure.service import ErasureService
from stafett.notifications.deliveries import DeliveryStore
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator, create_tenant
from tests.support.audit import verify_audit_chain
from tests.support.erasure import find_rows_containing, ignore_progress
from tests.support.exports import fetch_events


@pytest.fixture
def owner(owner_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def erasure_service(owner_url: str, storage: FileStorage) -> Iterator[ErasureService]:
    with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
        yield ErasureService(database, storage)


@pytest.fixture
def name(tenant: Tenant, owner: psycopg.Connection) -> str:
    """The coordinator's name, which occurs nowhere else in the database."""
    name = f"Øystein Vås{uuid4().hex[:10]}"
    owner.execute("UPDATE users SET display_name = %s WHERE id = %s", [name, tenant.coordinator])
    return name


@pytest.fixture
def person(tenant: Tenant, name: str) -> Person:  # noqa: ARG001 - the coordinator must have the name
    return Person(kind=PersonKind.USER, id=tenant.coordinator, org_id=tenant.org_id)


def load_account(owner: psycopg.Connection, user_id: UUID) -> tuple[Any, ...]:
    query = "SELECT email, display_name, is_operator FROM users WHERE id = %s"
    row: tuple[Any, ...] | None = owner.execute(query, [user_id]).fetchone()
    assert row is not None
    return row


def insert_email(owner: psycopg.Connection, person: Person, state: str = "pending") -> UUID:
    notification, delivery = uuid4(), uuid4()
    owner.execute(
        "INSERT INTO notifications (id, org_id, user_id, kind, subject_kind, subject_id, attempt, status)"
        " VALUES (%s, %s, %s, 'export_ended', 'export', %s, 1, 'completed')",
        [notification, person.org_id, person.id, uuid4()],
    )
    owner.execute(
        "INSERT INTO deliveries (id, org_id, notification_id, channel, state, settled_at)"
        " VALUES (%s, %s, %s, 'email', %s, CASE WHEN %s = 'delivered' THEN now() END)",
        [delivery, person.org_id, notification, state, state],
    )
    return delivery


def insert_session(owner: psycopg.Connection, user_id: UUID, id_token: str) -> None:
    owner.execute(
        "INSERT INTO user_sessions"
        " (id, token_sha256, user_id, provider, id_token, browser, idle_expires_at, expires_at)"
        " VALUES (gen_random_uuid(), %s, %s, 'one', %s, '', 'infinity', 'infinity')",
        [uuid4().hex * 2, user_id, id_token],
    )


async def test_erasure_leaves_only_the_opaque_id_of_a_user(
    person: Person,
    name: str,
    erasure_service: ErasureService,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    owner: psycopg.Connection,
    owner_url: str,
    settings: Settings,
) -> None:
    mentioning_activity = activity_factory.create_activity(
        activity_factory.create_mentor(), note=f"Avtalt med {name.upper()}", registered_by=person.id
    )
    export_id = await export_client.start_export()
    email = load_account(owner, person.id)[0]
    insert_session(owner, person.id, email)
    report = erasure_service.erase(person, ignore_progress)
    assert report.summary.counts == {
        "notes_cleared": 0,
        "texts_cleared": 0,
        "idempotency_keys_removed": 0,
        "attachments_removed": 0,
        "exports_emptied": 0,
        "memberships_removed": 1,
        "emails_given_up": 0,
        "activities_to_review": 1,
        "exports_to_review": 0,
        "batches_to_review": 0,
        "reexports_to_review": 0,
        "reports_to_review": 0,
        "webhooks_to_review": 0,
        "mappings_to_review": 0,
        "mentors_to_review": 0,
    }
    assert report.summary.activities_to_review == (mentioning_activity,)
    assert load_account(owner, person.id) == (f"erased-{person.id}@invalid", ERASED_NAME, False)
    remaining = find_rows_containing(owner_url, (name.casefold(), email))
    assert {table for table, _ in remaining} - {"pg_statistic"} == {"activities"}
    assert fetch_events(owner_url, str(person.id)) == ["person_erasure_begun", "person_erased"]
    references = owner.execute(
        "SELECT requested_by, (SELECT count(*) FROM activities WHERE registered_by = e.requested_by) FROM exports e"
        " WHERE id = %s",
        [export_id],
    ).fetchone()
    assert references == (person.id, 1)
    assert verify_audit_chain(settings, person.org_id).broken is None


async def test_token_of_an_erased_user_is_rejected(
    person: Person, erasure_service: ErasureService, export_client: ExportClient
) -> None:
    export_id = await export_client.start_export()
    erasure_service.erase(person, ignore_progress)
    for path in (f"/api/v1/bufdir-exports/{export_id}", "/api/v1/bufdir-exports", "/api/v1/notifications"):
        assert (await export_client.http_client.get(path, headers=export_client.headers)).status_code in {401, 403}
    assert (await export_client.request_export()).status_code in {401, 403}


def test_undelivered_emails_are_given_up_and_delivered_ones_unchanged(
    person: Person,
    erasure_service: ErasureService,
    owner: psycopg.Connection,
    tenant: Tenant,
    worker_database: Database,
) -> None:
    admin = person.model_copy(update={"id": tenant.users[Role.ADMIN]})
    pending, failed = insert_email(owner, person), insert_email(owner, person, "failed")
    delivered, of_other_user = insert_email(owner, person, "delivered"), insert_email(owner, admin)
    assert erasure_service.dry_run(person, ignore_progress).summary.emails_given_up == 2
    assert erasure_service.erase(person, ignore_progress).summary.emails_given_up == 2
    rows = owner.execute("SELECT id, state, last_error FROM deliveries WHERE org_id = %s", [person.org_id]).fetchall()
    assert set(rows) == {
        (pending, "given_up", "recipient_left"),
        (failed, "given_up", "recipient_left"),
        (delivered, "delivered", None),
        (of_other_user, "pending", None),
    }
    late = DeliveryRef(id=insert_email(owner, person), org_id=person.org_id, channel=Channel.EMAIL)
    with pytest.raises(DeliveryError, match="recipient_left"):
        DeliveryStore(worker_database).load_email(late)


def test_repeated_erasure_changes_nothing(person: Person, erasure_service: ErasureService, owner_url: str) -> None:
    first, second = erasure_service.erase(person, ignore_progress), erasure_service.erase(person, ignore_progress)
    assert (first.already_erased, second.already_erased) == (False, True)
    assert first.summary == second.summary
    assert first.finished_at == second.finished_at
    assert fetch_events(owner_url, str(person.id)) == ["person_erasure_begun", "person_erased"]


def test_account_is_erased_with_its_last_membership(
    person: Person, name: str, erasure_service: ErasureService, owner: psycopg.Connection, owner_url: str
) -> None:
    other_org_id = create_tenant(owner_url).org_id
    owner.execute("INSERT INTO memberships VALUES (%s, %s, 'auditor')", [person.id, other_org_id])
    other_membership = person.model_copy(update={"org_id": other_org_id})
    before = load_account(owner, person.id)
    assert erasure_service.dry_run(person, ignore_progress).account_retained_for == (other_org_id,)
    for is_repeated in (False, True):
        report = erasure_service.erase(person, ignore_progress)
        assert (report.account_retained_for, report.already_erased) == ((other_org_id,), is_repeated)
        assert (load_account(owner, person.id), before[1]) == (before, name)
    report = erasure_service.erase(other_membership, ignore_progress)
    assert report.account_retained_for == ()
    assert load_account(owner, person.id)[1] == ERASED_NAME
    assert find_rows_containing(owner_url, (name.casefold(),)) == set()


def test_identities_and_api_keys_end_with_the_account(
    person: Person, erasure_service: ErasureService, owner: psycopg.Connection
) -> None:
    owner.execute(
        "INSERT INTO user_identities (issuer, subject, user_id) VALUES ('https://login.example', %s, %s)",
        [str(uuid4()), person.id],
    )
    owner.execute(
        "INSERT INTO api_keys (id, org_id, user_id, name, role, secret_sha256, expires_at)"
        " VALUES (gen_random_uuid(), %s, %s, 'Karis maskin', 'coordinator', %s, now() + interval '1 day')",
        [person.org_id, person.id, uuid4().hex * 2],
    )
    erasure_service.erase(person, ignore_progress)
    assert owner.execute("SELECT FROM user_identities WHERE user_id = %s", [person.id]).fetchone() is None
    query = "SELECT name, revoked_at IS NOT NULL FROM api_keys WHERE user_id = %s"
    assert owner.execute(query, [person.id]).fetchall() == [(ERASED_NAME, True)]


def test_erased_operator_is_no_longer_an_operator(
    tenant: Tenant, erasure_service: ErasureService, owner: psycopg.Connection, owner_url: str
) -> None:
    operator = Person(kind=PersonKind.USER, id=create_operator(owner_url), org_id=tenant.org_id)
    erasure_service.erase(operator, ignore_progress)
    assert load_account(owner, operator.id) == (f"erased-{operator.id}@invalid", ERASED_NAME, False)


def test_user_of_another_organisation_is_not_found(
    person: Person, erasure_service: ErasureService, owner: psycopg.Connection, owner_url: str
) -> None:
    other_user = create_tenant(owner_url).coordinator
    for unknown in (other_user, uuid4()):
        with pytest.raises(NotFoundError):
            erasure_service.erase(person.model_copy(update={"id": unknown}), ignore_progress)
    assert load_account(owner, other_user)[1] == "Prøve Prøvesen"


class KilledError(BaseException):
    """Not an `Exception`, so that the product code cannot catch it."""


def test_killed_erasure_completes_when_run_again(
    person: Person,
    name: str,
    erasure_service: ErasureService,
    activity_factory: ActivityFactory,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mentioning_activity = activity_factory.create_activity(activity_factory.create_mentor(), note=f"Avtalt med {name}")

    def kill(*_: object) -> None:
        raise KilledError

    for method in (
        "stafett.erasure.name_search.NameSearch.find_activities",
        "stafett.erasure.journal.ErasureJournal.finish",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(method, kill)
            with pytest.raises(KilledError):
                erasure_service.erase(person, ignore_progress)
    report = erasure_service.erase(person, ignore_progress)
    assert (report.summary.memberships_removed, report.summary.activities_to_review) == (1, (mentioning_activity,))
    assert fetch_events(owner_url, str(person.id)) == ["person_erasure_begun", "person_erased"]
