"""Builders of bulk registrations with plausible defaults, a harness without Temporal and an API client."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg

from stafett.bulk.commands import BulkCommands
from stafett.bulk.registration import BatchProcessor
from stafett.bulk.service import BulkService
from stafett.database.session import Database
from stafett.domain.bulk import BulkCounts, BulkRequest, ItemOutcome
from stafett.domain.bulk_job import BulkJob, BulkOutcome, Chunk
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.membership import Caller, Role
from stafett.testing import Json, Tenant, wait_until

BATCHES = "/api/v1/bulk-registrations"
MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
ACTIVITY: dict[str, Any] = {
    "activity_type": "samtalegruppe",
    "starts_at": "2026-03-02T10:00:00+01:00",
    "duration_minutes": 60,
    "participants": 5,
    "new_participants": 1,
    "place": "Tromsø",
    "in_person": True,
    "in_norway": True,
    "note": "Første møte",
}


def build_item(mentor_id: object, **fields: Any) -> dict[str, Any]:
    return {"mentor_id": str(mentor_id), **fields}


def build_batch(org_id: str, items: Sequence[object], **fields: Any) -> dict[str, Any]:
    """Build the body of a submission; an item may be given as a mentor's id."""
    built = [item if isinstance(item, dict) else build_item(item) for item in items]
    return {"org_id": org_id, "activity": ACTIVITY, "items": built} | fields


def create_mentors(owner_url: str, org_id: str, count: int, *, active: bool = True) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO peer_mentors SELECT unnest(%s::uuid[]), %s, 'Likeperson', %s", [ids, org_id, active]
        )
    return ids


class BulkHarness:
    """The steps of a batch's workflow, called one by one without Temporal."""

    def __init__(self, tenant: Tenant, api_database: Database, worker_database: Database) -> None:
        self.tenant = tenant
        self.service = BulkService(api_database)
        self.commands = BulkCommands(api_database)
        self.registration = BatchProcessor(worker_database)

    @property
    def caller(self) -> Caller:
        return Caller(user_id=self.tenant.coordinator, org_id=self.tenant.org_id, role=Role.COORDINATOR)

    @property
    def admin(self) -> Caller:
        return Caller(user_id=self.tenant.users[Role.ADMIN], org_id=self.tenant.org_id, role=Role.ADMIN)

    def build_request(self, items: Sequence[object], **fields: Any) -> BulkRequest:
        return BulkRequest.model_validate(build_batch(self.tenant.org_id, items, **fields))

    def accept(self, items: Sequence[object], **fields: Any) -> BulkJob:
        return self.service.accept(self.caller, self.build_request(items, **fields)).batch.job

    def run(self, job: BulkJob) -> BulkOutcome:
        for number in self.registration.start_attempt(job).pending_chunks:
            self.registration.register_chunk(Chunk(job=job, number=number))
        return self.registration.finish(job)

    def retry(self, job: BulkJob) -> BulkJob:
        batch, _ = self.commands.retry(self.caller, job.batch_id)
        return batch.job

    def list_outcomes(self, job: BulkJob) -> Sequence[ItemOutcome]:
        return self.service.find(self.caller, job.batch_id).items

    def list_codes(self, job: BulkJob) -> list[str]:
        """List the error code of each item, or its status if it has no error."""
        return [outcome.error.code if outcome.error else outcome.status for outcome in self.list_outcomes(job)]


def build_counts(
    total: int, *, pending: int = 0, registered: int = 0, failed: int = 0, cancelled: int = 0
) -> BulkCounts:
    return BulkCounts(total=total, pending=pending, registered=registered, failed=failed, cancelled=cancelled)


def fetch_rows(owner_url: str, query: LiteralString, *params: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, params).fetchall()


def fetch_registered_mentors(owner_url: str, batch_id: UUID | str) -> list[UUID]:
    """Load the mentors of the activities that a batch has registered."""
    rows = fetch_rows(
        owner_url, "SELECT mentor_id FROM activities WHERE batch_id = %s ORDER BY starts_at, id", batch_id
    )
    return [mentor for (mentor,) in rows]


class BulkClient:
    """A client of the bulk-registration API for one user: it starts, loads and awaits batches."""

    def __init__(self, http_client: httpx.AsyncClient, org_id: str, headers: dict[str, str]) -> None:
        self.http_client, self.org_id, self.headers = http_client, org_id, headers

    async def request_batch(
        self, items: Any, *, prefer: str | None = None, idempotency_key: str | None = None, **fields: Any
    ) -> httpx.Response:
        headers = self.headers | ({"Prefer": prefer} if prefer else {})
        headers |= {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self.http_client.post(BATCHES, json=build_batch(self.org_id, items, **fields), headers=headers)

    async def start_batch(self, items: Any, **fields: Any) -> Json:
        response = await self.request_batch(items, **fields)
        assert response.status_code == 202, response.text
        job: Json = response.json()
        return job

    async def get(self, path: str = "", **query: Any) -> httpx.Response:
        return await self.http_client.get(f"{BATCHES}{path}", params=query, headers=self.headers)

    async def post(self, path: str, **headers: str) -> httpx.Response:
        return await self.http_client.post(f"{BATCHES}{path}", headers=self.headers | headers)

    async def put(self, path: str, body: Json, if_match: str | None) -> httpx.Response:
        headers = self.headers | ({"If-Match": if_match} if if_match else {})
        return await self.http_client.put(f"{BATCHES}{path}", json=body, headers=headers)

    async def wait_for_completion(self, batch_id: str) -> Json:
        async def get_batch() -> Json:
            job: Json = (await self.get(f"/{batch_id}")).raise_for_status().json()
            return job

        return await wait_until(get_batch, lambda job: BulkStatus(job["status"]).is_final)
