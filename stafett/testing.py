"""Test support for this service and for programs built on it: organisations, users, rows and an API client."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import psycopg

from stafett.column_mapper.organisations import STANDARD
from stafett.domain.activity import ActivityType
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Role
from stafett.seed.organisations import seed_mappings
from stafett.storage.files import FileStorage

Json = dict[str, Any]

_MIN_POLL_INTERVAL_SECONDS, _MAX_POLL_INTERVAL_SECONDS = 0.02, 0.1


@dataclass(frozen=True)
class Tenant:
    """An organisation for one test, with a user of each role."""

    org_id: str
    users: dict[Role, UUID]

    @property
    def coordinator(self) -> UUID:
        return self.users[Role.COORDINATOR]


def create_tenant(owner_url: str, mapping: str | None = STANDARD) -> Tenant:
    """Create an organisation, so that tests share no rows; `mapping` names the organisation whose mapping it gets."""
    tenant = Tenant(f"t{uuid4().hex[:12]}", {role: uuid4() for role in Role if role is not Role.OPERATOR})
    with psycopg.connect(owner_url) as connection:
        connection.execute("INSERT INTO organisations (id, name) VALUES (%s, 'Prøveforbundet')", [tenant.org_id])
        for role, user_id in tenant.users.items():
            connection.execute(
                "INSERT INTO users (id, email, display_name) VALUES (%s, %s, 'Prøve Prøvesen')",
                [user_id, f"{role}@{tenant.org_id}.example"],
            )
            connection.execute("INSERT INTO memberships VALUES (%s, %s, %s)", [user_id, tenant.org_id, role])
        if mapping is not None:
            seed_mappings(connection, tenant.org_id, mapping)
    return tenant


def create_operator(owner_url: str) -> UUID:
    """Create a user with the operator role."""
    user_id = uuid4()
    with psycopg.connect(owner_url) as connection:
        connection.execute("INSERT INTO users VALUES (%s, %s, 'Drift', true)", [user_id, f"{user_id}@example.org"])
    return user_id


@dataclass
class ActivityFactory:
    """A builder of one organisation's rows, with a plausible value for every field that the caller omits."""

    owner_url: str
    org_id: str
    _next_start: datetime = field(default=datetime(2026, 1, 5, 9, tzinfo=UTC))

    def create_mentor(self, name: str = "Åse Ødegård", *, active: bool = True, branch: str | None = None) -> UUID:
        mentor_id = uuid4()
        row = [mentor_id, self.org_id, name, active, branch]
        with self._cursor() as cursor:
            cursor.execute("INSERT INTO peer_mentors VALUES (%s, %s, %s, %s, %s)", row)
        return mentor_id

    def create_activity(self, mentor_id: UUID, **fields: object) -> UUID:
        activity_id, starts_at = uuid4(), fields.pop("starts_at", self._next_start)
        assert isinstance(starts_at, datetime)  # noqa: S101 - a builder for tests
        row = {
            "id": activity_id,
            "org_id": self.org_id,
            "mentor_id": mentor_id,
            "activity_type": ActivityType.SAMTALEGRUPPE.value,
            "starts_at": starts_at,
            "ends_at": starts_at + timedelta(minutes=60),
            "participants": 5,
            "new_participants": 1,
            "place": "Tromsø",
            "in_person": True,
            "in_norway": True,
            "note": None,
        } | fields
        self._next_start = max(self._next_start, starts_at + timedelta(hours=2))
        columns, placeholders = ", ".join(row), ", ".join(["%s"] * len(row))
        with self._cursor() as cursor:
            cursor.execute(f"INSERT INTO activities ({columns}) VALUES ({placeholders})".encode(), list(row.values()))  # noqa: S608 - column names of the test
        return activity_id

    def create_attachment(
        self,
        storage: FileStorage,
        activity_id: UUID,
        content: bytes = b"%PDF-1.7 referat",
        file_name: str = "Møtereferat.pdf",
        mime_type: str = "application/pdf",
    ) -> str:
        """Store an attachment with its object, and return the object's key."""
        attachment_id = uuid4()
        key = f"attachments/{self.org_id}/{attachment_id}"
        storage.write(key, [content], mime_type)
        row = [attachment_id, self.org_id, activity_id, file_name, mime_type]
        row += [len(content), hashlib.sha256(content).hexdigest(), key]
        with self._cursor() as cursor:
            cursor.execute("INSERT INTO attachments VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", row)
        return key

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor]:
        with psycopg.connect(self.owner_url) as connection, connection.cursor() as cursor:
            yield cursor


ResultT = TypeVar("ResultT")


async def wait_until(
    poll: Callable[[], Awaitable[ResultT]], is_done: Callable[[ResultT], bool], *, timeout_seconds: float = 120
) -> ResultT:
    """Poll until the result satisfies `is_done`; fail with the last result after the timeout."""
    started = time.monotonic()
    while not is_done(result := await poll()):
        waited = time.monotonic() - started
        if waited > timeout_seconds:
            raise AssertionError(f"not done within {timeout_seconds} s; last result: {result!r}")
        await asyncio.sleep(min(max(waited / 10, _MIN_POLL_INTERVAL_SECONDS), _MAX_POLL_INTERVAL_SECONDS))
    return result


class ExportClient:
    """A client of the export API for one user: it starts, loads and awaits exports."""

    def __init__(self, http_client: httpx.AsyncClient, org_id: str, headers: dict[str, str]) -> None:
        self.http_client = http_client
        self.org_id = org_id
        self.headers = headers

    async def request_export(self, idempotency_key: str | None = None, **fields: object) -> httpx.Response:
        """Request an export of 2026 as CSV; `fields` replace or add fields of the body."""
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        body = {"org_id": self.org_id, "reporting_period": period, "export_format": "csv"} | fields
        headers = self.headers | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})
        return await self.http_client.post("/api/v1/bufdir-exports", json=body, headers=headers)

    async def start_export(self, **fields: object) -> str:
        """Start an export and return its id."""
        response = await self.request_export(**fields)  # type: ignore[arg-type]  # the fields of the request body
        return str(response.raise_for_status().json()["id"])

    async def get_export(self, export_id: str) -> Json:
        response = await self.http_client.get(f"/api/v1/bufdir-exports/{export_id}", headers=self.headers)
        job: Json = response.raise_for_status().json()
        return job

    async def wait_for_completion(self, export_id: str) -> Json:
        return await wait_until(lambda: self.get_export(export_id), lambda job: ExportStatus(job["status"]).is_final)
