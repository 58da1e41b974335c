"""Versions that were handed in to Bufdir: marks, protection against deletion, retention, and the audit trail."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from psycopg import errors

from stafett.domain.membership import Role
from stafett.exports.retention import Retention
from stafett.reports.submissions import get_last_protected_day
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant, wait_until
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexports import REPORTS, ReexportClient
from tests.support.retention import backdate_completion, open_retention

EXPORTS = "/api/v1/bufdir-exports"
CONFIRMED = "handed_in"


class HandedInReport:
    """A report with two versions, and an administrator who deletes the exports that made them."""

    def __init__(self, client: ReexportClient, report_id: str, admin: dict[str, str], owner_url: str) -> None:
        self.client = client
        self.id = report_id
        self._admin = admin
        self._owner_url = owner_url

    async def submit(self, **body: Any) -> httpx.Response:
        headers = self.client.headers | {"If-Match": "*"}
        return await self.client.http_client.put(f"{REPORTS}/{self.id}", json=body, headers=headers)

    async def get(self) -> Json:
        report: Json = (await self.client.http_client.get(f"{REPORTS}/{self.id}", headers=self.client.headers)).json()
        return report

    async def find_by_export(self, export_id: str) -> list[Json]:
        query = {"export_id": export_id}
        page: Json = (await self.client.http_client.get(REPORTS, params=query, headers=self.client.headers)).json()
        return list(page["items"])

    async def get_export_id(self, version: int) -> str:
        return str((await self.client.list_versions(self.id))[version - 1]["export_id"])

    async def delete(self, version: int, confirm: str | None = None, **headers: str) -> httpx.Response:
        path = f"{EXPORTS}/{await self.get_export_id(version)}"
        query = {} if confirm is None else {"confirm": confirm}
        return await self.client.http_client.delete(path, params=query, headers=headers or self._admin)

    def fetch_events(self, subject_id: str) -> list[tuple[str, Json]]:
        with psycopg.connect(self._owner_url) as connection:
            query = "SELECT event, detail FROM audit_events WHERE subject_id = %s ORDER BY seq"
            return connection.execute(query, [subject_id]).fetchall()


@pytest.fixture
async def report(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> HandedInReport:
    client = ReexportClient(export_client)
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await client.create_report()
        activity_factory.create_activity(activity_factory.create_mentor())
        await client.complete_reexport(report_id)
    return HandedInReport(client, report_id, bearer(tenant.users[Role.ADMIN], role="admin"), owner_url)


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with open_retention(settings, org_id) as retention:
        yield retention


async def test_newest_version_is_marked_for_the_grant_year_two_years_later(report: HandedInReport) -> None:
    submitted = (await report.submit(submitted_at="2026-02-01T12:00:00Z")).raise_for_status().json()
    assert (submitted["submitted_version"], submitted["grant_year"]) == (2, 2028)
    assert submitted["retained_until"] == "2033-12-31"
    assert [file["submitted_at"] for file in submitted["files"]] == [None, "2026-02-01T12:00:00Z"]
    assert report.fetch_events(report.id)[-1] == (
        "report_submitted",
        {"submitted_at": "2026-02-01T12:00:00+00:00", "version": 2, "grant_year": 2028},
    )


async def test_each_version_that_was_handed_in_stays_marked_until_it_is_taken_back(report: HandedInReport) -> None:
    await report.submit(version=1, submitted_at="2026-02-01T12:00:00Z", grant_year=2029)
    both = (await report.submit(version=2, submitted_at="2026-03-01T12:00:00Z")).json()
    assert [file["submitted_at"] is not None for file in both["files"]] == [True, True]
    assert (both["submitted_version"], both["grant_year"]) == (2, 2029)
    first = (await report.submit(version=2, submitted_at=None)).json()
    assert (first["submitted_version"], first["submitted_at"]) == (1, "2026-02-01T12:00:00Z")
    none = (await report.submit(submitted_at=None)).json()
    assert (none["submitted_version"], none["submitted_at"], none["retained_until"]) == (None, None, None)
    assert [file["submitted_at"] for file in none["files"]] == [None, None]
    assert report.fetch_events(report.id)[-2:] == [
        ("report_not_submitted", {"submitted_at": None, "version": 2}),
        ("report_not_submitted", {"submitted_at": None, "version": None}),
    ]


async def test_version_alone_is_marked_with_its_recorded_time_or_now(report: HandedInReport) -> None:
    now = (await report.submit(version=1)).raise_for_status().json()
    assert now["files"][0]["submitted_at"] == now["submitted_at"] is not None
    other = (await report.submit(version=2)).json()
    assert other["submitted_version"] == 2
    assert other["submitted_at"] == other["files"][1]["submitted_at"] > now["submitted_at"]
    recorded = (await report.submit(version=1)).json()
    assert (recorded["submitted_version"], recorded["submitted_at"]) == (1, now["submitted_at"])


async def test_each_version_has_its_own_reference_until_its_mark_is_taken_back(report: HandedInReport) -> None:
    reference = "Bufdir 28/17"
    await report.submit(version=1, submitted_at="2026-02-01T12:00:00Z", submitted_reference=reference)
    again = (await report.submit(version=1, submitted_at="2026-02-02T12:00:00Z")).json()
    assert (again["submitted_version"], again["submitted_reference"]) == (1, reference)
    newest = (await report.submit(submitted_at="2026-03-01T12:00:00Z")).json()
    assert (newest["submitted_version"], newest["submitted_reference"]) == (2, None)
    both = (await report.submit(submitted_reference="Bufdir 28/18")).json()
    assert (both["submitted_version"], both["submitted_reference"]) == (2, "Bufdir 28/18")
    assert [file["submitted_reference"] for file in both["files"]] == [reference, "Bufdir 28/18"]
    first = (await report.submit(version=2, submitted_at=None)).json()
    assert (first["submitted_version"], first["submitted_reference"]) == (1, reference)
    assert [file["submitted_reference"] for file in first["files"]] == [reference, None]
    unmarked = (await report.submit(submitted_at=None)).json()
    assert (unmarked["submitted_reference"], unmarked["files"][0]["submitted_reference"]) == (None, None)
    for version in (1, 2):
        marked = (await report.submit(version=version)).json()
        assert (marked["submitted_version"], marked["submitted_reference"]) == (version, None)


async def test_mark_of_another_version_that_is_taken_back_leaves_the_last_submission(report: HandedInReport) -> None:
    await report.submit(version=2, submitted_at="2026-03-01T12:00:00Z")
    await report.submit(version=1, submitted_at="2026-02-01T12:00:00Z", submitted_reference="Bufdir 28/17")
    last = (await report.submit(version=2, submitted_at=None)).json()
    assert (last["submitted_version"], last["submitted_reference"]) == (1, "Bufdir 28/17")


@pytest.mark.parametrize(
    "body",
    [
        {"version": 1, "submitted_at": "2026-02-01T12:00:00Z", "submitted_reference": "Bufdir 28/17"},
        {"version": 1},
        {"submitted_reference": "Bufdir 28/17"},
        {"grant_year": 2028},
        {"version": 2, "submitted_at": None},
    ],
    ids=str,
)
async def test_submission_that_changes_nothing_is_neither_an_edit_nor_an_event(
    report: HandedInReport, body: Json
) -> None:
    await report.submit(version=1, submitted_at="2026-02-01T12:00:00Z", submitted_reference="Bufdir 28/17")
    before, events = await report.get(), report.fetch_events(report.id)
    response = await report.submit(**body)
    assert (response.status_code, response.json()) == (200, before)
    assert report.fetch_events(report.id) == events
    assert response.headers["ETag"].startswith('"1-')


async def test_taking_back_when_nothing_is_marked_records_nothing(report: HandedInReport) -> None:
    for body in ({"submitted_at": None}, {"submitted_at": None, "version": 1}, {"submitted_reference": None}):
        assert (await report.submit(**body)).status_code == 200
    assert report.fetch_events(report.id) == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"version": 3}, "/version"),
        ({"version": 0}, "/version"),
        ({"version": None}, ""),
        ({"submitted_at": "2026-02-01T12:00:00Z", "grant_year": 2026}, "/grant_year"),
        ({"grant_year": 20_000}, "/grant_year"),
        ({"submitted_at": "2999-01-01T12:00:00Z"}, "/submitted_at"),
        ({"submitted_reference": "Bufdir 28/17"}, "/submitted_reference"),
        ({"submitted_at": None, "submitted_reference": "Bufdir 28/17"}, "/submitted_reference"),
    ],
    ids=str,
)
async def test_impossible_submission_names_its_field(report: HandedInReport, body: Json, pointer: str) -> None:
    response = await report.submit(**body)
    assert (response.status_code, [error["pointer"] for error in response.json()["errors"]]) == (422, [pointer])
    assert (await report.get())["submitted_at"] is None


async def test_grant_year_that_is_too_early_is_refused_with_the_year_that_it_must_follow(
    report: HandedInReport,
) -> None:
    response = await report.submit(submitted_at="2026-02-01T12:00:00Z", grant_year=2026)
    (error,) = response.json()["errors"]
    assert (error["code"], error["detail"]) == (
        "before_grant",
        "The grant year must be after 2026, the year of the period.",
    )


async def test_deletion_of_a_handed_in_version_needs_its_own_confirmation(report: HandedInReport) -> None:
    await report.submit(version=1, submitted_at="2026-02-01T12:00:00Z")
    before = (await report.get())["files"]
    refused = await report.delete(1)
    assert (refused.status_code, refused.json()["code"]) == (409, "handed_in")
    assert f"Version 1 of report {report.id} was handed in" in refused.json()["detail"]
    assert "confirm=handed_in" in refused.json()["detail"]
    assert (await report.delete(1, "yes")).status_code == 422
    assert (await report.get())["files"] == before
    assert (await report.delete(1, CONFIRMED)).status_code == 204
    assert (await report.delete(2)).status_code == 204
    after = (await report.get())["files"]
    for deleted, file in zip(after, before, strict=True):
        assert (deleted["file"], deleted["produced_file"]) == (None, file["file"])
        assert deleted["removed_at"] is not None
        assert deleted["submitted_at"] == file["submitted_at"]
    detail = {"report_id": report.id, "handed_in_version": 1}
    events = report.fetch_events(before[0]["export_id"])[-2:]
    assert [name for name, _ in events] == ["export_deleted", "files_removed"]
    assert all(detail.items() <= found.items() for _, found in events)
    assert "handed_in_version" not in report.fetch_events(before[1]["export_id"])[-1][1]


async def test_deleted_version_is_no_longer_stored_and_still_found_by_its_export(report: HandedInReport) -> None:
    await report.submit(version=1, submitted_at="2026-02-01T12:00:00Z")
    await report.submit(version=2, submitted_at="2026-03-01T12:00:00Z")
    exports = [file["export_id"] for file in (await report.get())["files"]]
    await report.delete(1, CONFIRMED)
    assert (await report.get())["retained_until"] == "2033-12-31"
    await report.delete(2, CONFIRMED)
    assert (await report.get())["retained_until"] is None
    for export_id in exports:
        assert [each["id"] for each in await report.find_by_export(export_id)] == [report.id]
    assert await report.find_by_export(report.id) == []


async def test_deletion_after_the_mark_is_taken_back_needs_no_confirmation(report: HandedInReport) -> None:
    await report.submit(version=1)
    await report.submit(version=1, submitted_at=None)
    assert (await report.delete(1)).status_code == 204


async def test_confirmation_adds_no_permission_and_reveals_nothing_to_strangers(
    report: HandedInReport, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    await report.submit(version=1)
    stranger = create_tenant(owner_url)
    callers = {
        "coordinator": (report.client.headers, 403),
        "auditor": (bearer(tenant.users[Role.AUDITOR], role="auditor"), 403),
        "stranger": (bearer(stranger.users[Role.ADMIN], stranger.org_id, "admin"), 404),
    }
    for caller, (headers, status) in callers.items():
        for confirm in (None, CONFIRMED):
            assert (await report.delete(1, confirm, **headers)).status_code == status, caller
    assert (await report.get())["files"][0]["file"] is not None


@contextmanager
def open_transaction(owner_url: str, statement: LiteralString, parameter: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url) as connection:
        connection.execute(statement, [parameter])
        yield connection


async def wait_until_blocked(owner_url: str, blocker: psycopg.Connection) -> None:
    async def count() -> int:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
            row = connection.execute(query, [blocker.info.backend_pid]).fetchone()
        return int(row[0]) if row else 0

    await wait_until(count, bool)


async def test_deletion_waits_for_an_uncommitted_mark_and_is_refused(report: HandedInReport, owner_url: str) -> None:
    statement: LiteralString = (
        "WITH r AS (UPDATE reports SET submitted_at = now(), submitted_version = 1, grant_year = 2028 WHERE id = %s"
        " RETURNING id) UPDATE report_files SET submitted_at = now() WHERE report_id IN (SELECT id FROM r)"
        " AND version = 1"
    )
    with open_transaction(owner_url, statement, report.id) as connection:
        deletion = asyncio.ensure_future(report.delete(1))
        await wait_until_blocked(owner_url, connection)
        connection.commit()
        response = await deletion
    assert (response.status_code, response.json()["code"]) == (409, "handed_in")


async def test_mark_waits_for_an_uncommitted_deletion_and_shows_the_loss(
    report: HandedInReport, owner_url: str
) -> None:
    statement: LiteralString = "UPDATE exports SET deleted_at = now() WHERE id = %s"
    with open_transaction(owner_url, statement, await report.get_export_id(1)) as connection:
        marking = asyncio.ensure_future(report.submit(version=1))
        await wait_until_blocked(owner_url, connection)
        connection.commit()
        response = await marking
    assert (response.status_code, response.json()["files"][0]["file"]) == (200, None)
    assert response.json()["files"][0]["produced_file"]["sha256"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE exports SET deleted_at = now() WHERE id = %s",
        "UPDATE exports SET removal_started_at = now() WHERE id = %s",
    ],
)
async def test_database_rejects_the_removal_of_a_protected_file(
    report: HandedInReport, owner_url: str, statement: LiteralString
) -> None:
    await report.submit(version=1)
    export_ids = [await report.get_export_id(version) for version in (1, 2)]
    with psycopg.connect(owner_url) as connection:
        with pytest.raises(errors.CheckViolation, match="only after a confirmation"), connection.transaction():
            connection.execute(statement, export_ids[:1])
        connection.execute(statement, export_ids[1:])
        connection.execute("SELECT set_config('app.confirm', 'handed_in', true)")
        connection.execute(statement, export_ids[:1])


async def test_database_rejects_other_changes_of_a_version_than_its_mark(
    report: HandedInReport, owner_url: str
) -> None:
    await report.submit(version=1)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        connection.execute("UPDATE report_files SET submitted_at = NULL, file = '{}' WHERE report_id = %s", [report.id])


async def test_export_to_which_a_handed_in_file_was_moved_is_protected(
    report: HandedInReport, storage: FileStorage, tenant: Tenant, bearer: Bearer
) -> None:
    await report.submit(version=2)
    original, second = await report.client.list_versions(report.id)
    job = await report.client.get_reexport(second["reexport_id"])
    copy = f"{report.client.export_prefix(original['export_id'])}copies/report.csv"
    storage.copy(job["result_file_ref"], copy)
    report.client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await report.client.edit(job["id"], {"result_file_ref": copy})).status_code == 200
    for version in (1, 2):
        refused = await report.delete(version)
        assert (refused.status_code, refused.json()["code"]) == (409, "handed_in")
        assert "Version 2 of" in refused.json()["detail"]


async def test_handed_in_file_is_stored_for_five_full_years_after_its_grant_year(
    report: HandedInReport, retention: Retention, storage: FileStorage, owner_url: str
) -> None:
    await report.submit(version=1)
    handed_in, other = [await report.get_export_id(version) for version in (1, 2)]
    for export_id in (handed_in, other):
        backdate_completion(owner_url, export_id, timedelta(days=20 * 365))
    with psycopg.connect(owner_url) as connection:
        this_year = connection.execute("SELECT extract(year FROM now() AT TIME ZONE 'Europe/Oslo')::int").fetchone()
    assert this_year is not None
    set_grant_year(owner_url, report.id, this_year[0] - 5)
    assert retention.apply().files_removed == 1
    assert storage.list_keys(report.client.export_prefix(other)) == []
    assert storage.list_keys(report.client.export_prefix(handed_in)) != []
    assert get_last_protected_day(this_year[0] - 5).year == this_year[0]
    set_grant_year(owner_url, report.id, this_year[0] - 6)
    assert retention.apply().files_removed == 1
    assert storage.list_keys(report.client.export_prefix(handed_in)) == []
    assert [file["produced_file"] is not None for file in (await report.get())["files"]] == [True, True]
    assert report.fetch_events(handed_in)[-1][1]["handed_in_version"] == 1


async def test_handed_in_file_is_stored_no_shorter_than_any_other(
    report: HandedInReport, retention: Retention, owner_url: str
) -> None:
    await report.submit(version=1)
    set_grant_year(owner_url, report.id, 2000)
    for version in (1, 2):
        backdate_completion(owner_url, await report.get_export_id(version), timedelta(days=1825))
    assert retention.apply().files_removed == 0


def set_grant_year(owner_url: str, report_id: str, year: int) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE reports SET grant_year = %s WHERE id = %s", [year, report_id])
