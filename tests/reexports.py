"""What a coordinator does with a report that is to be made again."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import psycopg

from stafett.domain.reexport_status import ReexportStatus
from stafett.testing import ExportClient, Json, wait_until

REEXPORTS = "/api/v1/report-reexports"
REPORTS = "/api/v1/reports"
Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


class AgainButton:
    """In the hand of whoever has the first button."""

    def __init__(self, button: ExportClient) -> None:
        self.button = button
        self.gateway = button.http_client
        self.headers = button.headers

    async def report(self, **asked: object) -> str:
        """A completed export's entry in the history; a worker is at work."""
        job = await self.button.wait_for_completion(await self.button.start_export(**asked))
        assert job["status"] == "completed", job["error"]
        return str(job["report_id"])

    async def press(self, report_id: str, key: str | None = None, **asked: object) -> httpx.Response:
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return await self.gateway.post(REEXPORTS, json={"report_id": report_id} | asked, headers=headers)

    async def pressed(self, report_id: str, **asked: object) -> str:
        """The id of a re-export that was accepted."""
        answer = await self.press(report_id, **asked)  # type: ignore[arg-type]  # the caller's words are the body's
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def look(self, reexport_id: str) -> Json:
        answer = await self.gateway.get(f"{REEXPORTS}/{reexport_id}", headers=self.headers)
        job: Json = answer.raise_for_status().json()
        return job

    async def end_of(self, reexport_id: str) -> Json:
        return await wait_until(lambda: self.look(reexport_id), lambda job: ReexportStatus(job["status"]).is_final)

    async def done(self, report_id: str, **asked: object) -> Json:
        job = await self.end_of(await self.pressed(report_id, **asked))
        assert job["status"] == "completed", job["error"]
        return job

    async def cancel(self, reexport_id: str) -> httpx.Response:
        return await self.gateway.delete(f"{REEXPORTS}/{reexport_id}", headers=self.headers)

    async def edit(self, reexport_id: str, body: Json, if_match: str | None = "*") -> httpx.Response:
        headers = self.headers | ({"If-Match": if_match} if if_match else {})
        return await self.gateway.put(f"{REEXPORTS}/{reexport_id}", json=body, headers=headers)

    async def versions(self, report_id: str) -> list[Json]:
        answer = await self.gateway.get(f"{REPORTS}/{report_id}", headers=self.headers)
        files: list[Json] = answer.raise_for_status().json()["files"]
        return files


async def content_of(job: Json) -> bytes:
    """The file, as anybody has it who has the link."""
    async with httpx.AsyncClient() as browser:
        return (await browser.get(job["download_url"])).raise_for_status().content


def steps_of(owner_url: str, job_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT status FROM audit_events WHERE subject_id = %s AND status IS NOT NULL ORDER BY seq"
        return [status for (status,) in connection.execute(query, [job_id]).fetchall()]


def told_of(owner_url: str, job_id: str) -> list[tuple[str, str]]:
    """The notifications of a job: of what kind, and how it ended."""
    with psycopg.connect(owner_url) as connection:
        query = "SELECT kind, status FROM notifications WHERE subject_id = %s"
        return connection.execute(query, [job_id]).fetchall()
