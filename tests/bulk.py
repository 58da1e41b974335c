"""Batches as tests make them: whatever is not said is plausible."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg

from stafett.bulk.commands import BulkCommands
from stafett.bulk.registration import ProxyRegistration
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


def item(mentor_id: object, **more: Any) -> dict[str, Any]:
    return {"mentor_id": str(mentor_id), **more}


def body(org_id: str, items: Sequence[object], **said: Any) -> dict[str, Any]:
    """A submission; a mentor alone is an item too."""
    asked = [one if isinstance(one, dict) else item(one) for one in items]
    return {"org_id": org_id, "activity": ACTIVITY, "items": asked} | said


def many_mentors(owner_url: str, org_id: str, number: int, *, active: bool = True) -> list[UUID]:
    ids = [uuid4() for _ in range(number)]
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO peer_mentors SELECT unnest(%s::uuid[]), %s, 'Likeperson', %s", [ids, org_id, active]
        )
    return ids


class Core:
    """A batch's life without an engine: the steps that the workflow takes, one by one."""

    def __init__(self, tenant: Tenant, gateway: Database, worker: Database) -> None:
        self.tenant = tenant
        self.registrations = BulkService(gateway)
        self.control = BulkCommands(gateway)
        self.work = ProxyRegistration(worker)

    @property
    def caller(self) -> Caller:
        return Caller(user_id=self.tenant.coordinator, org_id=self.tenant.org_id, role=Role.COORDINATOR)

    @property
    def admin(self) -> Caller:
        return Caller(user_id=self.tenant.users[Role.ADMIN], org_id=self.tenant.org_id, role=Role.ADMIN)

    def request(self, items: Sequence[object], **said: Any) -> BulkRequest:
        return BulkRequest.model_validate(body(self.tenant.org_id, items, **said))

    def accepted(self, items: Sequence[object], **said: Any) -> BulkJob:
        return self.registrations.accept(self.caller, self.request(items, **said)).batch.job

    def run(self, job: BulkJob) -> BulkOutcome:
        for number in self.work.start_attempt(job).pending_chunks:
            self.work.register_chunk(Chunk(job=job, number=number))
        return self.work.finish(job)

    def retried(self, job: BulkJob) -> BulkJob:
        batch, _ = self.control.retry(self.caller, job.batch_id)
        return batch.job

    def outcomes(self, job: BulkJob) -> Sequence[ItemOutcome]:
        return self.registrations.find(self.caller, job.batch_id).items

    def codes(self, job: BulkJob) -> list[str]:
        """Of every item its error's code, or its status."""
        return [one.error.code if one.error else one.status for one in self.outcomes(job)]


def counts(total: int, *, pending: int = 0, registered: int = 0, failed: int = 0, cancelled: int = 0) -> BulkCounts:
    return BulkCounts(total=total, pending=pending, registered=registered, failed=failed, cancelled=cancelled)


def rows(owner_url: str, query: LiteralString, *given: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, given).fetchall()


def activities_of(owner_url: str, batch_id: UUID | str) -> list[UUID]:
    """The mentors of what a batch has registered."""
    found = rows(owner_url, "SELECT mentor_id FROM activities WHERE batch_id = %s ORDER BY starts_at, id", batch_id)
    return [mentor for (mentor,) in found]


class Coordinator:
    """Submits, looks, waits for the end."""

    def __init__(self, gateway: httpx.AsyncClient, org_id: str, headers: dict[str, str]) -> None:
        self.gateway, self.org_id, self.headers = gateway, org_id, headers

    async def submit(
        self, items: Any, *, prefer: str | None = None, key: str | None = None, **said: Any
    ) -> httpx.Response:
        more = {"Prefer": prefer} if prefer else {}
        more |= {"Idempotency-Key": key} if key else {}
        return await self.gateway.post(BATCHES, json=body(self.org_id, items, **said), headers=self.headers | more)

    async def submitted(self, items: Any, **said: Any) -> Json:
        answer = await self.submit(items, **said)
        assert answer.status_code == 202, answer.text
        job: Json = answer.json()
        return job

    async def get(self, path: str = "", **query: Any) -> httpx.Response:
        return await self.gateway.get(f"{BATCHES}{path}", params=query, headers=self.headers)

    async def post(self, path: str, **headers: str) -> httpx.Response:
        return await self.gateway.post(f"{BATCHES}{path}", headers=self.headers | headers)

    async def put(self, path: str, said: Json, if_match: str | None) -> httpx.Response:
        headers = self.headers | ({"If-Match": if_match} if if_match else {})
        return await self.gateway.put(f"{BATCHES}{path}", json=said, headers=headers)

    async def end_of(self, batch_id: str, within: float = 30) -> Json:
        async def look() -> Json:
            job: Json = (await self.get(f"/{batch_id}")).raise_for_status().json()
            return job

        return await wait_until(look, lambda job: BulkStatus(job["status"]).is_final, timeout_seconds=within)
