"""The three organisations of the development stack and their users."""

from typing import NamedTuple
from uuid import UUID, uuid4, uuid5

from psycopg import Connection
from psycopg.types.json import Json

from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.domain.membership import Role

ORGANISATIONS = {
    "nhf": "Norges Handikapforbund",
    "blindeforbundet": "Norges Blindeforbund",
    "hlf": "Hørselshemmedes Landsforbund",
}
OPERATOR_EMAIL = "operator@stafett.example"
_USER_ID_NAMESPACE = UUID("5f0c3c0e-6a5b-5d39-9a53-7e1f2b8d4c60")
_ROLE_TITLES = {Role.COORDINATOR: "Koordinator", Role.ADMIN: "Administrator", Role.AUDITOR: "Revisor"}


class SeededAccount(NamedTuple):
    """A row of the table of users."""

    id: UUID
    email: str
    display_name: str
    is_operator: bool


class _SeededUser(NamedTuple):
    email: str
    display_name: str
    role: Role
    org_id: str


def dev_user_id(email: str) -> UUID:
    """Return the id of a seeded user, which is the same on every development stack."""
    return uuid5(_USER_ID_NAMESPACE, email.lower())


def is_seeded(email: str) -> bool:
    return email.lower() in {OPERATOR_EMAIL, *(user.email for user in _seeded_users())}


def coordinator_email(org_id: str) -> str:
    """Return the email address of an organisation's seeded coordinator."""
    return f"{Role.COORDINATOR}@{org_id}.example"


def seed_organisations(connection: Connection) -> None:
    """Insert missing organisations, users, memberships and mappings in the caller's transaction."""
    memberships = [(dev_user_id(user.email), user.org_id, user.role) for user in _seeded_users()]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO organisations (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", list(ORGANISATIONS.items())
        )
        cursor.executemany(
            "INSERT INTO users (id, email, display_name, is_operator) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            list_seeded_accounts(),
        )
        cursor.executemany(
            "INSERT INTO memberships (user_id, org_id, role) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", memberships
        )
    for org_id in ORGANISATIONS:
        seed_mappings(connection, org_id, org_id)


def seed_mappings(connection: Connection, org_id: str, source: str) -> None:
    """Insert the bundled mapping documents of `source` if the organisation has no column mapping yet."""
    if connection.execute("SELECT FROM column_mappings WHERE org_id = %s LIMIT 1", [org_id]).fetchone() is not None:
        return
    versions = [
        (org_id, number, uuid4(), document.effective_from, document.sha256, Json(document.as_json()))
        for number, document in enumerate(load_bundled_mappings(source), start=1)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            versions,
        )


def list_seeded_accounts() -> list[SeededAccount]:
    """List the members of the organisations, and an operator."""
    members = [
        SeededAccount(dev_user_id(user.email), user.email, user.display_name, is_operator=False)
        for user in _seeded_users()
    ]
    return [*members, SeededAccount(dev_user_id(OPERATOR_EMAIL), OPERATOR_EMAIL, "Drift, Stafett", is_operator=True)]


def _seeded_users() -> list[_SeededUser]:
    return [
        _SeededUser(f"{role}@{org_id}.example", f"{title}, {name}", role, org_id)
        for org_id, name in ORGANISATIONS.items()
        for role, title in _ROLE_TITLES.items()
    ]
