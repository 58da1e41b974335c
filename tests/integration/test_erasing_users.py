"""A user is forgotten: the opaque id stays wherever it says who did something, and belongs to nobody."""

from collections.abc import Callable, Iterator
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
from tests.integration.test_audit_trail import found_by
from tests.integration.test_erasing_mentors import rows_that_tell, silent
from tests.integration.test_steering import events_of

Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def owner(owner_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def erasing(owner_url: str, storage: FileStorage) -> Iterator[ErasureService]:
    with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
        yield ErasureService(database, storage)


@pytest.fixture
def name(tenant: Tenant, owner: psycopg.Connection) -> str:
    """The coordinator's, and nobody else's."""
    name = f"Øystein Vås{uuid4().hex[:10]}"
    owner.execute("UPDATE users SET display_name = %s WHERE id = %s", [name, tenant.coordinator])
    return name


@pytest.fixture
def person(tenant: Tenant, name: str) -> Person:  # noqa: ARG001 - with that name
    return Person(kind=PersonKind.USER, id=tenant.coordinator, org_id=tenant.org_id)


def account(owner: psycopg.Connection, user_id: UUID) -> tuple[Any, ...]:
    query = "SELECT email, display_name, is_operator FROM users WHERE id = %s"
    row: tuple[Any, ...] | None = owner.execute(query, [user_id]).fetchone()
    assert row is not None
    return row


def letter_for(owner: psycopg.Connection, person: Person, state: str = "pending") -> UUID:
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


async def test_nothing_but_the_opaque_id_is_left_of_a_user(
    person: Person,
    name: str,
    erasing: ErasureService,
    button: ExportClient,
    diary: ActivityFactory,
    owner: psycopg.Connection,
    owner_url: str,
    settings: Settings,
) -> None:
    mentioning = diary.create_activity(
        diary.create_mentor(), note=f"Avtalt med {name.upper()}", registered_by=person.id
    )
    export_id = await button.start_export()
    email = account(owner, person.id)[0]
    report = erasing.erase(person, silent)
    assert report.summary.counts == {
        "notes_cleared": 0,
        "attachments_removed": 0,
        "exports_emptied": 0,
        "memberships_removed": 1,
        "emails_given_up": 0,
        "activities_to_review": 1,
        "exports_to_review": 0,
        "batches_to_review": 0,
    }
    assert report.summary.activities_to_review == (mentioning,)
    assert account(owner, person.id) == (f"erased-{person.id}@invalid", ERASED_NAME, False)
    left = rows_that_tell(owner_url, (name.casefold(), email))
    assert {table for table, _ in left} - {"pg_statistic"} == {"activities"}
    assert events_of(owner_url, str(person.id)) == ["person_erasure_begun", "person_erased"]
    by_them = owner.execute(
        "SELECT requested_by, (SELECT count(*) FROM activities WHERE registered_by = e.requested_by) FROM exports e"
        " WHERE id = %s",
        [export_id],
    ).fetchone()
    assert by_them == (person.id, 1)
    assert found_by(settings, person.org_id).broken is None


async def test_their_token_opens_nothing_any_more(
    person: Person, erasing: ErasureService, button: ExportClient
) -> None:
    export_id = await button.start_export()
    erasing.erase(person, silent)
    for asked in (f"/api/v1/bufdir-exports/{export_id}", "/api/v1/bufdir-exports", "/api/v1/notifications"):
        assert (await button.http_client.get(asked, headers=button.headers)).status_code in {401, 403}
    assert (await button.request_export()).status_code in {401, 403}


def test_letters_that_wait_are_given_up_and_those_that_have_arrived_stay_so(
    person: Person, erasing: ErasureService, owner: psycopg.Connection, tenant: Tenant, worker_database: Database
) -> None:
    admin = person.model_copy(update={"id": tenant.users[Role.ADMIN]})
    waiting, failed = letter_for(owner, person), letter_for(owner, person, "failed")
    arrived, anothers = letter_for(owner, person, "delivered"), letter_for(owner, admin)
    assert erasing.dry_run(person, silent).summary.emails_given_up == 2
    assert erasing.erase(person, silent).summary.emails_given_up == 2
    rows = owner.execute("SELECT id, state, last_error FROM deliveries WHERE org_id = %s", [person.org_id]).fetchall()
    assert set(rows) == {
        (waiting, "given_up", "recipient_left"),
        (failed, "given_up", "recipient_left"),
        (arrived, "delivered", None),
        (anothers, "pending", None),
    }
    late = DeliveryRef(id=letter_for(owner, person), org_id=person.org_id, channel=Channel.EMAIL)
    with pytest.raises(DeliveryError, match="recipient_left"):
        DeliveryStore(worker_database).load_email(late)


def test_twice_is_once(person: Person, erasing: ErasureService, owner_url: str) -> None:
    first, second = erasing.erase(person, silent), erasing.erase(person, silent)
    assert (first.already_erased, second.already_erased) == (False, True)
    assert first.summary == second.summary
    assert first.finished_at == second.finished_at
    assert events_of(owner_url, str(person.id)) == ["person_erasure_begun", "person_erased"]


def test_an_account_that_another_organisation_has_too_is_erased_with_its_last_membership(
    person: Person, name: str, erasing: ErasureService, owner: psycopg.Connection, owner_url: str
) -> None:
    other = create_tenant(owner_url).org_id
    owner.execute("INSERT INTO memberships VALUES (%s, %s, 'auditor')", [person.id, other])
    elsewhere = person.model_copy(update={"org_id": other})
    before = account(owner, person.id)
    assert erasing.dry_run(person, silent).account_retained_for == (other,)
    for is_again in (False, True):
        report = erasing.erase(person, silent)
        assert (report.account_retained_for, report.already_erased) == ((other,), is_again)
        assert (account(owner, person.id), before[1]) == (before, name)
    report = erasing.erase(elsewhere, silent)
    assert report.account_retained_for == ()
    assert account(owner, person.id)[1] == ERASED_NAME
    assert rows_that_tell(owner_url, (name.casefold(),)) == set()


def test_an_operator_is_none_any_more(
    tenant: Tenant, erasing: ErasureService, owner: psycopg.Connection, owner_url: str
) -> None:
    operator = Person(kind=PersonKind.USER, id=create_operator(owner_url), org_id=tenant.org_id)
    erasing.erase(operator, silent)
    assert account(owner, operator.id) == (f"erased-{operator.id}@invalid", ERASED_NAME, False)


def test_a_user_of_another_organisation_alone_is_nobody_here(
    person: Person, erasing: ErasureService, owner: psycopg.Connection, owner_url: str
) -> None:
    stranger = create_tenant(owner_url).coordinator
    for unknown in (stranger, uuid4()):
        with pytest.raises(NotFoundError):
            erasing.erase(person.model_copy(update={"id": unknown}), silent)
    assert account(owner, stranger)[1] == "Prøve Prøvesen"


class KilledError(BaseException):
    """No error that anybody would catch."""


def test_killed_in_the_middle_it_completes_when_it_is_run_again(
    person: Person,
    name: str,
    erasing: ErasureService,
    diary: ActivityFactory,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mentioning = diary.create_activity(diary.create_mentor(), note=f"Avtalt med {name}")

    def killed(*_: object) -> None:
        raise KilledError

    for step in (
        "stafett.erasure.name_search.NameSearch.find_activities",
        "stafett.erasure.journal.ErasureJournal.finish",
    ):
        with monkeypatch.context() as during:
            during.setattr(step, killed)
            with pytest.raises(KilledError):
                erasing.erase(person, silent)
    report = erasing.erase(person, silent)
    assert (report.summary.memberships_removed, report.summary.activities_to_review) == (1, (mentioning,))
    assert events_of(owner_url, str(person.id)) == ["person_erasure_begun", "person_erased"]
