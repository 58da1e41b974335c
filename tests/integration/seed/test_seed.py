"""Seeding into a real database and real object storage."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import polars as pl
import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from pydantic import AnyHttpUrl, SecretStr

from stafett.database.migrate import migrate
from stafett.domain.errors import ServiceUnavailableError
from stafett.seed.activities import generate_activities
from stafett.seed.insertion import SeedError, SeedRequest, SeedResult, insert_seed_data
from stafett.seed.organisations import dev_user_id, seed_organisations
from stafett.seed.peer_mentors import distribute_activities, generate_peer_mentors
from stafett.seed.timetable import Timetable
from stafett.settings import DatabaseSettings, S3Settings
from stafett.storage.files import FileStorage

UNREACHABLE_S3 = S3Settings(
    endpoint=AnyHttpUrl("http://127.0.0.1:1"), access_key="any", secret_key=SecretStr("any"), bucket="any"
)
CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid = 'activities'::regclass ORDER BY conname
"""


def fetch_rows(owner_url: str, query: Any, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, parameters).fetchall()


def count_activities(owner_url: str, org_id: str) -> int:
    return int(fetch_rows(owner_url, "SELECT count(*) FROM activities WHERE org_id = %s", org_id)[0][0])


@pytest.fixture
def empty_database(owner_url: str) -> Iterator[str]:
    """A separate database on the same server, migrated and empty but for the organisations and their users."""
    name = f"seed_{uuid4().hex}"
    with psycopg.connect(owner_url, autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        url = urlunsplit(urlsplit(owner_url)._replace(path=f"/{name}"))
        migrate(DatabaseSettings(owner_url=SecretStr(url)))
        with psycopg.connect(url) as connection:
            seed_organisations(connection)
        yield url
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def test_seeding_inserts_the_requested_numbers(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=700, attachments=30, mentors=40)
    assert insert_seed_data(request, owner_url, storage) == SeedResult(mentors=40, activities=700, attachments=30)
    assert count_activities(owner_url, org_id) == 700
    assert fetch_rows(owner_url, "SELECT count(*) FROM peer_mentors WHERE org_id = %s", org_id) == [(40,)]
    carriers = fetch_rows(owner_url, "SELECT count(DISTINCT activity_id) FROM attachments WHERE org_id = %s", org_id)
    assert carriers == [(30,)]


def test_repeated_seeding_inserts_nothing_and_reports_it(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=50)
    insert_seed_data(request, owner_url, storage)
    assert insert_seed_data(request, owner_url, storage) == SeedResult(already_seeded=True)
    assert count_activities(owner_url, org_id) == 50


def test_concurrent_identical_seedings_insert_the_rows_once(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=2_000)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: insert_seed_data(request, owner_url, storage), range(2)))
    assert sorted(result.already_seeded for result in results) == [False, True]
    assert count_activities(owner_url, org_id) == 2_000


def test_another_seed_inserts_other_rows(owner_url: str, storage: FileStorage, org_id: str) -> None:
    for number in range(3):
        insert_seed_data(SeedRequest(org_id=org_id, year=2025, activities=100, seed=number), owner_url, storage)
    assert count_activities(owner_url, org_id) == 300


def test_stored_attachments_match_their_rows(owner_url: str, storage: FileStorage, org_id: str) -> None:
    insert_seed_data(SeedRequest(org_id=org_id, year=2025, activities=45, attachments=45), owner_url, storage)
    stored = fetch_rows(owner_url, "SELECT object_key, size_bytes, sha256 FROM attachments WHERE org_id = %s", org_id)
    assert len(stored) == 46
    assert sorted(key for key, _, _ in stored) == sorted(storage.list_keys(f"attachments/{org_id}/"))
    for key, size, sha256 in stored:
        content = storage.read(key)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)


def test_inserted_rows_equal_the_generated_rows(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2024, activities=20_000)
    insert_seed_data(request, owner_url, storage)
    columns = ("id", "mentor_id", "starts_at", "ends_at", "created_at", "participants", "in_person", "place", "note")
    query = SQL("SELECT {} FROM activities WHERE org_id = %s").format(SQL(", ").join(map(Identifier, columns)))
    inserted = {(str(row[0]), str(row[1]), *row[2:]) for row in fetch_rows(owner_url, query, org_id)}
    assert inserted == set(generate_frame(request).select(columns).rows())


def generate_frame(request: SeedRequest) -> pl.DataFrame:
    timetable = Timetable(request.rng, request.org_id, request.year)
    mentors = generate_peer_mentors(request.rng, request.org_id, request.mentor_count)
    shares = distribute_activities(mentors, request.activities, timetable.max_per_mentor)
    return pl.concat(generate_activities(request.rng, timetable, shares, None))


def test_progress_increases_to_the_total(owner_url: str, storage: FileStorage, org_id: str) -> None:
    reports: list[tuple[int, int]] = []
    request = SeedRequest(org_id=org_id, year=2025, activities=60, attachments=5)
    insert_seed_data(request, owner_url, storage, report_progress=lambda done, total: reports.append((done, total)))
    assert reports == sorted(reports)
    assert reports[-1] == (65, 65)


def test_unreachable_storage_leaves_no_rows(owner_url: str, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=10, attachments=1)
    with pytest.raises(ServiceUnavailableError, match="S3"):
        insert_seed_data(request, owner_url, FileStorage(UNREACHABLE_S3))
    assert fetch_rows(owner_url, "SELECT FROM peer_mentors WHERE org_id = %s", org_id) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"activities": 9_000, "mentors": 2}, "2 peer mentors cannot have 9000 activities in 2025 without overlaps"),
        ({"activities": 3, "attachments": 4}, "3 activities cannot carry 4 attachments"),
        ({"activities": 3, "org_id": "nowhere"}, "There is no organisation nowhere"),
    ],
)
def test_impossible_request_is_rejected_with_a_message(
    owner_url: str, storage: FileStorage, org_id: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SeedError, match=message):
        insert_seed_data(SeedRequest(**{"org_id": org_id, "year": 2025} | fields), owner_url, storage)


def test_bulk_load_into_an_empty_table_restores_every_constraint(empty_database: str, storage: FileStorage) -> None:
    before = fetch_rows(empty_database, CONSTRAINTS)
    insert_seed_data(SeedRequest(org_id="nhf", year=2025, activities=100_000), empty_database, storage)
    assert fetch_rows(empty_database, CONSTRAINTS) == before
    assert count_activities(empty_database, "nhf") == 100_000


def test_bulk_load_does_not_wait_for_readers(empty_database: str, storage: FileStorage) -> None:
    with psycopg.connect(empty_database) as reader:
        reader.execute("SELECT FROM activities")
        insert_seed_data(SeedRequest(org_id="hlf", year=2025, activities=100_000), empty_database, storage)
    assert count_activities(empty_database, "hlf") == 100_000


def test_organisations_and_users_are_seeded_once(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        seed_organisations(connection)
    users = fetch_rows(
        empty_database, "SELECT u.id, u.email, m.role FROM users u LEFT JOIN memberships m ON m.user_id = u.id"
    )
    assert len(users) == 10
    for user_id, email, role in users:
        assert user_id == dev_user_id(email)
        assert role == (None if email == "operator@stafett.example" else email.partition("@")[0])


def test_some_activities_are_registered_by_the_coordinator(empty_database: str, storage: FileStorage) -> None:
    insert_seed_data(SeedRequest(org_id="nhf", year=2025, activities=200), empty_database, storage)
    registered_by = fetch_rows(
        empty_database, "SELECT DISTINCT registered_by FROM activities WHERE registered_by IS NOT NULL"
    )
    assert registered_by == [(dev_user_id("coordinator@nhf.example"),)]
