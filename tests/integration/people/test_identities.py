"""Identities of identity providers: the verified address links a subject once, the subject identifies afterwards."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.database.session import Database
from stafett.people.identities import resolve_user
from stafett.testing import Tenant

ISSUER = "https://login.example.org/"
Resolve = Callable[..., UUID | None]


@pytest.fixture
def address(tenant: Tenant) -> str:
    return f"coordinator@{tenant.org_id}.example"


@pytest.fixture
def resolve(api_database: Database) -> Resolve:
    def resolve(subject: str, address: str | None, issuer: str = ISSUER) -> UUID | None:
        with api_database.transaction() as session:
            return resolve_user(session, issuer, subject, address)

    return resolve


def test_first_sign_in_links_the_subject_to_the_user_with_the_address(
    resolve: Resolve, tenant: Tenant, address: str
) -> None:
    subject = str(uuid4())
    assert resolve(subject, None) is None
    assert resolve(subject, address.upper()) == tenant.coordinator
    assert resolve(subject, None) == tenant.coordinator


def test_address_never_decides_again_after_the_link(
    resolve: Resolve, tenant: Tenant, address: str, owner_url: str
) -> None:
    subject, other_subject = str(uuid4()), str(uuid4())
    resolve(subject, address)
    assert resolve(other_subject, address) is None
    assert resolve(subject, f"admin@{tenant.org_id}.example") == tenant.coordinator
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE users SET email = %s WHERE id = %s", [f"new-{address}", tenant.coordinator])
    assert resolve(subject, address) == tenant.coordinator
    assert resolve(other_subject, address) is None
    assert resolve(other_subject, f"new-{address}") is None


def test_same_subject_of_another_issuer_is_another_identity(resolve: Resolve, tenant: Tenant, address: str) -> None:
    subject = str(uuid4())
    assert resolve(subject, address) == tenant.coordinator
    assert resolve(subject, None, "https://other.example.org/") is None
    assert resolve(subject, address, "https://other.example.org/") == tenant.coordinator


@pytest.mark.parametrize("subject", ["", "x" * 256, "a\0b", "a\ud800b"])
def test_subject_that_cannot_be_stored_belongs_to_no_user(resolve: Resolve, address: str, subject: str) -> None:
    assert resolve(subject, address) is None


def test_unknown_address_belongs_to_no_user(resolve: Resolve) -> None:
    assert resolve(str(uuid4()), f"{uuid4()}@nowhere.example") is None


def test_concurrent_first_sign_ins_link_one_subject(resolve: Resolve, tenant: Tenant, address: str) -> None:
    subject = str(uuid4())
    with ThreadPoolExecutor(4) as threads:
        users = list(threads.map(lambda _: resolve(subject, address), range(8)))
    assert users == [tenant.coordinator] * 8


def test_no_role_reads_subjects_or_deletes_identities(
    resolve: Resolve, address: str, api_database: Database, worker_database: Database
) -> None:
    resolve(str(uuid4()), address)
    for database in (api_database, worker_database):
        for statement in ("SELECT subject FROM user_identities", "DELETE FROM user_identities"):
            with (
                database.transaction() as session,
                pytest.raises(Exception, match="permission denied for table user_identities"),
            ):
                session.connection().exec_driver_sql(statement)
