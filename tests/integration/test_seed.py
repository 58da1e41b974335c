"""A seeding in the real database and the real object storage."""

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

NOBODY_LISTENS = S3Settings(
    endpoint=AnyHttpUrl("http://127.0.0.1:1"), access_key="any", secret_key=SecretStr("any"), bucket="any"
)
CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid = 'activities'::regclass ORDER BY conname
"""


def rows(owner_url: str, query: Any, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, parameters).fetchall()


def activities_in(owner_url: str, org_id: str) -> int:
    return int(rows(owner_url, "SELECT count(*) FROM activities WHERE org_id = %s", org_id)[0][0])


@pytest.fixture
def empty_database(owner_url: str) -> Iterator[str]:
    """A database of its own on the same server: migrated, and nothing in it but an organisation."""
    name = f"seed_{uuid4().hex}"
    with psycopg.connect(owner_url, autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        url = urlunsplit(urlsplit(owner_url)._replace(path=f"/{name}"))
        migrate(DatabaseSettings(owner_url=SecretStr(url)))
        with psycopg.connect(url) as connection:
            seed_organisations(connection)
        yield url
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def test_a_seeding_adds_what_was_asked_for(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=700, attachments=30, mentors=40)
    assert insert_seed_data(request, owner_url, storage) == SeedResult(mentors=40, activities=700, attachments=30)
    assert activities_in(owner_url, org_id) == 700
    assert rows(owner_url, "SELECT count(*) FROM peer_mentors WHERE org_id = %s", org_id) == [(40,)]
    carriers = rows(owner_url, "SELECT count(DISTINCT activity_id) FROM attachments WHERE org_id = %s", org_id)
    assert carriers == [(30,)]


def test_the_same_seeding_again_adds_nothing_and_says_so(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=50)
    insert_seed_data(request, owner_url, storage)
    assert insert_seed_data(request, owner_url, storage) == SeedResult(already_seeded=True)
    assert activities_in(owner_url, org_id) == 50


def test_the_same_seeding_twice_at_once_is_one(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=2_000)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: insert_seed_data(request, owner_url, storage), range(2)))
    assert sorted(report.already_seeded for report in reports) == [False, True]
    assert activities_in(owner_url, org_id) == 2_000


def test_another_seed_adds_other_rows(owner_url: str, storage: FileStorage, org_id: str) -> None:
    for number in range(3):
        insert_seed_data(SeedRequest(org_id=org_id, year=2025, activities=100, seed=number), owner_url, storage)
    assert activities_in(owner_url, org_id) == 300


def test_what_is_stored_is_what_the_rows_say(owner_url: str, storage: FileStorage, org_id: str) -> None:
    insert_seed_data(SeedRequest(org_id=org_id, year=2025, activities=45, attachments=45), owner_url, storage)
    stored = rows(owner_url, "SELECT object_key, size_bytes, sha256 FROM attachments WHERE org_id = %s", org_id)
    assert len(stored) == 46
    assert sorted(key for key, _, _ in stored) == sorted(storage.list_keys(f"attachments/{org_id}/"))
    for key, size, sha256 in stored:
        content = storage.read(key)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)


def test_rows_arrive_as_they_were_drawn(owner_url: str, storage: FileStorage, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2024, activities=20_000)
    insert_seed_data(request, owner_url, storage)
    columns = ("id", "mentor_id", "starts_at", "ends_at", "created_at", "participants", "in_person", "place", "note")
    query = SQL("SELECT {} FROM activities WHERE org_id = %s").format(SQL(", ").join(map(Identifier, columns)))
    arrived = {(str(row[0]), str(row[1]), *row[2:]) for row in rows(owner_url, query, org_id)}
    assert arrived == set(drawn_for(request).select(columns).rows())


def drawn_for(request: SeedRequest) -> pl.DataFrame:
    timetable = Timetable(request.rng, request.org_id, request.year)
    mentors = generate_peer_mentors(request.rng, request.org_id, request.mentor_count)
    shared = distribute_activities(mentors, request.activities, timetable.max_per_mentor)
    return pl.concat(generate_activities(request.rng, timetable, shared, None))


def test_progress_ends_where_it_said_it_would(owner_url: str, storage: FileStorage, org_id: str) -> None:
    told: list[tuple[int, int]] = []
    request = SeedRequest(org_id=org_id, year=2025, activities=60, attachments=5)
    insert_seed_data(request, owner_url, storage, report_progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (65, 65)


def test_without_storage_nothing_half_is_left(owner_url: str, org_id: str) -> None:
    request = SeedRequest(org_id=org_id, year=2025, activities=10, attachments=1)
    with pytest.raises(ServiceUnavailableError, match="S3"):
        insert_seed_data(request, owner_url, FileStorage(NOBODY_LISTENS))
    assert rows(owner_url, "SELECT FROM peer_mentors WHERE org_id = %s", org_id) == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"activities": 9_000, "mentors": 2}, "2 peer mentors cannot hold 9000 activities in 2025 without overlaps"),
        ({"activities": 3, "attachments": 4}, "3 activities cannot carry 4 attachments"),
        ({"activities": 3, "org_id": "nowhere"}, "There is no organisation nowhere"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    owner_url: str, storage: FileStorage, org_id: str, wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SeedError, match=sentence):
        insert_seed_data(SeedRequest(**{"org_id": org_id, "year": 2025} | wrong), owner_url, storage)


def test_very_many_into_an_empty_table_leave_every_constraint_as_it_was(
    empty_database: str, storage: FileStorage
) -> None:
    before = rows(empty_database, CONSTRAINTS)
    insert_seed_data(SeedRequest(org_id="nhf", year=2025, activities=100_000), empty_database, storage)
    assert rows(empty_database, CONSTRAINTS) == before
    assert activities_in(empty_database, "nhf") == 100_000


def test_very_many_wait_for_nobody_who_is_reading(empty_database: str, storage: FileStorage) -> None:
    with psycopg.connect(empty_database) as reader:
        reader.execute("SELECT FROM activities")
        insert_seed_data(SeedRequest(org_id="hlf", year=2025, activities=100_000), empty_database, storage)
    assert activities_in(empty_database, "hlf") == 100_000


def test_the_organisations_and_their_people_are_seeded_once(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        seed_organisations(connection)
    people = rows(
        empty_database, "SELECT u.id, u.email, m.role FROM users u LEFT JOIN memberships m ON m.user_id = u.id"
    )
    assert len(people) == 10
    for user_id, email, role in people:
        assert user_id == dev_user_id(email)
        assert role == (None if email == "operator@stafett.example" else email.partition("@")[0])


def test_some_of_an_organisations_activities_are_its_coordinators(empty_database: str, storage: FileStorage) -> None:
    insert_seed_data(SeedRequest(org_id="nhf", year=2025, activities=200), empty_database, storage)
    found = rows(empty_database, "SELECT DISTINCT registered_by FROM activities WHERE registered_by IS NOT NULL")
    assert found == [(dev_user_id("coordinator@nhf.example"),)]
