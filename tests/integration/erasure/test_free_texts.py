"""Erasure of a person from texts outside activities: a batch's shared note, reasons, labels, references, mappings."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import ErasureSummary, Person, PersonKind
from stafett.erasure.service import ErasureService
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Tenant
from tests.support.api_fixtures import ApiFixtures
from tests.support.bulk import BulkHarness, build_item
from tests.support.erasure import find_rows_containing, ignore_progress


@pytest.fixture
def erasure_service(owner_url: str, storage: FileStorage) -> Iterator[ErasureService]:
    with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
        yield ErasureService(database, storage)


@pytest.fixture
def name() -> str:
    return f"Ågot Ærlig{uuid4().hex[:10]}"


@pytest.fixture
def mentor(activity_factory: ActivityFactory, name: str) -> UUID:
    return activity_factory.create_mentor(name)


@pytest.fixture(params=list(PersonKind))
def person(request: pytest.FixtureRequest, mentor: UUID, tenant: Tenant, name: str, owner_url: str) -> Person:
    """A mentor, or a user, of this name."""
    if request.param is PersonKind.MENTOR:
        return Person(kind=PersonKind.MENTOR, id=mentor, org_id=tenant.org_id)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE users SET display_name = %s WHERE id = %s", [name, tenant.coordinator])
        connection.execute("UPDATE peer_mentors SET display_name = 'Per' WHERE id = %s", [mentor])
    return Person(kind=PersonKind.USER, id=tenant.coordinator, org_id=tenant.org_id)


@pytest.fixture
def api_fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


def execute(owner_url: str, statement: LiteralString, *params: Any) -> Any:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(statement, params)


def test_erasure_finds_the_name_in_every_text(
    person: Person,
    name: str,
    api_fixtures: ApiFixtures,
    tenant: Tenant,
    owner_url: str,
    erasure_service: ErasureService,
) -> None:
    mention, folded = f"Retter opp for  {name.upper()}", name.casefold()
    reexport, unrelated = api_fixtures.create_failed_reexport(), api_fixtures.create_failed_reexport()
    with_reason, report = api_fixtures.create_failed_reexport(), api_fixtures.create_report()
    webhook, described, mapping = api_fixtures.create_webhook(), api_fixtures.create_webhook(), uuid4()
    other_mentor = api_fixtures.create_mentor()
    execute(owner_url, "UPDATE peer_mentors SET branch = %s WHERE id = %s", mention, other_mentor)
    execute(owner_url, "UPDATE api_keys SET name = %s WHERE id = %s", mention, api_fixtures.create_api_key())
    execute(owner_url, "UPDATE report_reexports SET label = %s WHERE id = %s", mention, reexport)
    query: LiteralString = "UPDATE report_files SET submitted_at = now(), submitted_reference = %s WHERE report_id = %s"
    execute(owner_url, query, mention, report)
    execute(owner_url, "UPDATE webhooks SET url = %s WHERE id = %s", f"https://x.example/{name}", webhook)
    execute(owner_url, "UPDATE webhooks SET description = %s WHERE id = %s", mention, described)
    with psycopg.connect(owner_url) as connection:
        connection.execute("ALTER TABLE report_reexports DISABLE TRIGGER report_reexports_immutable_columns")
        for reexport_id, text in ((with_reason, mention), (unrelated, "Feil i tallene")):
            connection.execute(
                "UPDATE report_reexports SET request = request || jsonb_build_object('reason', %s::text) WHERE id = %s",
                [text, reexport_id],
            )
        connection.execute("ALTER TABLE report_reexports ENABLE TRIGGER report_reexports_immutable_columns")
        connection.execute(
            "INSERT INTO report_files (report_id, version, org_id, export_id, kind, file, mapping, reexport_id, source,"
            " reason, change, created_by) SELECT report_id, 2, org_id, export_id, 'reexport', file, mapping, %s,"
            " 'current_data', %s, '{}', created_by FROM report_files WHERE report_id = %s",
            [with_reason, mention, report],
        )
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, 99, %s, '2020-01-01', repeat('a', 64), %s)",
            [tenant.org_id, mapping, Jsonb({"title": mention})],
        )
        connection.execute(
            "INSERT INTO idempotency_keys (org_id, operation, key, request_sha256, resource_id)"
            " VALUES (%s, 'x', %s, 'a', %s)",
            [tenant.org_id, f"for {name}", report],
        )
    dry_run = erasure_service.dry_run(person, ignore_progress)
    report_of_erasure = erasure_service.erase(person, ignore_progress)
    assert report_of_erasure.summary.model_dump(exclude={"memberships_removed"}) == ErasureSummary(
        texts_cleared=3,
        idempotency_keys_removed=1,
        reexports_to_review=(reexport,),
        reports_to_review=(report,),
        webhooks_to_review=(webhook,),
        mappings_to_review=(mapping,),
        mentors_to_review=(other_mentor,),
    ).model_dump(exclude={"memberships_removed"})
    assert dry_run.summary == report_of_erasure.summary
    tables_with_name = {table for table, _ in find_rows_containing(owner_url, (folded,)) if table != "pg_statistic"}
    assert tables_with_name == {"report_reexports", "report_files", "webhooks", "column_mappings", "peer_mentors"}
    rows = execute_all(
        owner_url, "SELECT request->>'reason' FROM report_reexports WHERE id = ANY (%s)", [unrelated, with_reason]
    )
    assert rows == {(None,), ("Feil i tallene",)}
    assert execute_all(owner_url, "SELECT reason FROM report_files WHERE report_id = %s", report) == {(None,)}


def execute_all(owner_url: str, query: LiteralString, *params: Any) -> set[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return set(connection.execute(query, params).fetchall())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE report_files SET reason = 'another'",
        "UPDATE report_files SET reason = NULL, version = version + 1",
        "UPDATE report_reexports SET request = jsonb_set(request, '{reason}', '\"another\"')",
        "UPDATE report_reexports SET request = request || '{\"version\": 9}'",
    ],
)
def test_reason_can_be_cleared_but_not_changed(
    statement: LiteralString, api_fixtures: ApiFixtures, owner_url: str
) -> None:
    api_fixtures.create_failed_reexport()
    with pytest.raises(psycopg.errors.DatabaseError, match=r"append-only|immutable"):
        execute(owner_url, statement)


def test_shared_note_of_a_batch_is_cleared_or_listed(
    mentor: UUID,
    activity_factory: ActivityFactory,
    tenant: Tenant,
    api_database: Database,
    worker_database: Database,
    owner_url: str,
    erasure_service: ErasureService,
) -> None:
    """A note that other mentors share stays, because a program does not know whom it is about."""
    harness, note = BulkHarness(tenant, api_database, worker_database), f"Om {uuid4().hex}-sykdommen"
    other = activity_factory.create_mentor("Per Hansen")
    own = harness.accept([build_item(mentor)])
    shared = harness.accept([build_item(mentor), build_item(other)])
    overridden = harness.accept([build_item(mentor, overrides={"note": "egen"}), build_item(other)])
    for job in (own, shared, overridden):
        execute(
            owner_url,
            "UPDATE bulk_registrations SET activity = jsonb_set(activity, '{note}', to_jsonb(%s::text)) WHERE id = %s",
            note,
            job.batch_id,
        )
    person = Person(kind=PersonKind.MENTOR, id=mentor, org_id=tenant.org_id)
    dry_run = erasure_service.dry_run(person, ignore_progress)
    summary = erasure_service.erase(person, ignore_progress).summary
    assert (summary.notes_cleared, summary.batches_to_review) == (2, (shared.batch_id,))
    assert dry_run.summary == summary
    notes = execute_all(
        owner_url, "SELECT id, activity->>'note' FROM bulk_registrations WHERE org_id = %s", tenant.org_id
    )
    assert notes == {(own.batch_id, None), (shared.batch_id, note), (overridden.batch_id, note)}
