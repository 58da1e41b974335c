"""What tests of this service need, and tests of what is built on it: real organisations, real tokens, real rows."""

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

_PAUSE = 0.02


@dataclass(frozen=True)
class Tenant:
    """An organisation nobody else uses, with a user of each role."""

    org_id: str
    users: dict[Role, UUID]

    @property
    def coordinator(self) -> UUID:
        return self.users[Role.COORDINATOR]


def found_tenant(owner_url: str, mapping: str | None = STANDARD) -> Tenant:
    """A fresh organisation, which reports as this one does: tests that each have one never meet."""
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


def found_operator(owner_url: str) -> UUID:
    """Somebody who looks after the service."""
    user_id = uuid4()
    with psycopg.connect(owner_url) as connection:
        connection.execute("INSERT INTO users VALUES (%s, %s, 'Drift', true)", [user_id, f"{user_id}@example.org"])
    return user_id


@dataclass
class Diary:
    """Activities of one organisation, written down one by one; whatever is not said is plausible."""

    owner_url: str
    org_id: str
    _free_from: datetime = field(default=datetime(2026, 1, 5, 9, tzinfo=UTC))

    def mentor(self, name: str = "Åse Ødegård", *, active: bool = True) -> UUID:
        mentor_id = uuid4()
        with self._cursor() as cursor:
            cursor.execute("INSERT INTO peer_mentors VALUES (%s, %s, %s, %s)", [mentor_id, self.org_id, name, active])
        return mentor_id

    def activity(self, mentor_id: UUID, **said: object) -> UUID:
        activity_id, starts_at = uuid4(), said.pop("starts_at", self._free_from)
        assert isinstance(starts_at, datetime)
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
        } | said
        self._free_from = max(self._free_from, starts_at + timedelta(hours=2))
        columns, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        with self._cursor() as cursor:
            cursor.execute(f"INSERT INTO activities ({columns}) VALUES ({marks})".encode(), list(row.values()))
        return activity_id

    def attachment(
        self,
        storage: FileStorage,
        activity_id: UUID,
        content: bytes = b"%PDF-1.7 referat",
        file_name: str = "Møtereferat.pdf",
        mime_type: str = "application/pdf",
    ) -> str:
        """Where its object lies."""
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


Seen = TypeVar("Seen")


async def eventually(look: Callable[[], Awaitable[Seen]], holds: Callable[[Seen], bool], *, within: float = 30) -> Seen:
    """Look again and again until what is seen is as wanted; otherwise show what was seen last."""
    patience = time.monotonic() + within
    while not holds(seen := await look()):
        if time.monotonic() > patience:
            raise AssertionError(f"not within {within} s; last seen: {seen!r}")
        await asyncio.sleep(_PAUSE)
    return seen


class Button:
    """What a coordinator does: press, look, wait for the end."""

    def __init__(self, gateway: httpx.AsyncClient, org_id: str, headers: dict[str, str]) -> None:
        self.gateway = gateway
        self.org_id = org_id
        self.headers = headers

    async def press(self, key: str | None = None, **asked: object) -> httpx.Response:
        """Ask for the whole of 2026 as csv, unless something else is said."""
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        body = {"org_id": self.org_id, "reporting_period": period, "export_format": "csv"} | asked
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return await self.gateway.post("/api/v1/bufdir-exports", json=body, headers=headers)

    async def pressed(self, **asked: object) -> str:
        """The id of an export that was accepted."""
        answer = await self.press(**asked)  # type: ignore[arg-type]  # the caller's words are the body's
        return str(answer.raise_for_status().json()["id"])

    async def look(self, export_id: str) -> Json:
        answer = await self.gateway.get(f"/api/v1/bufdir-exports/{export_id}", headers=self.headers)
        job: Json = answer.raise_for_status().json()
        return job

    async def end_of(self, export_id: str) -> Json:
        return await eventually(lambda: self.look(export_id), lambda job: ExportStatus(job["status"]).is_final)
