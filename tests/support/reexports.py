"""A client of the re-export API, and queries for what a re-export left in the database."""

from collections.abc import Callable

import httpx
import psycopg
from psycopg.types import json

from stafett.column_mapper import validate_document
from stafett.domain.reexport_status import ReexportStatus
from stafett.testing import ExportClient, Json, wait_until

REEXPORTS = "/api/v1/report-reexports"
REPORTS = "/api/v1/reports"


class ReexportClient:
    """A client of the re-export API for the user of the export client: it starts, loads and awaits re-exports."""

    def __init__(self, export_client: ExportClient) -> None:
        self.export_client = export_client
        self.http_client = export_client.http_client
        self.headers = export_client.headers

    async def create_report(self, **fields: object) -> str:
        """Export and return the id of the report in the history; a worker must be running."""
        job = await self.export_client.wait_for_completion(await self.export_client.start_export(**fields))
        assert job["status"] == "completed", job["error"]
        return str(job["report_id"])

    async def request_reexport(
        self, report_id: str, idempotency_key: str | None = None, **fields: object
    ) -> httpx.Response:
        headers = self.headers | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})
        return await self.http_client.post(REEXPORTS, json={"report_id": report_id} | fields, headers=headers)

    async def start_reexport(self, report_id: str, **fields: object) -> str:
        """Start a re-export and return its id."""
        response = await self.request_reexport(report_id, **fields)  # type: ignore[arg-type]  # the fields of the request body
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def get_reexport(self, reexport_id: str) -> Json:
        response = await self.http_client.get(f"{REEXPORTS}/{reexport_id}", headers=self.headers)
        job: Json = response.raise_for_status().json()
        return job

    async def wait_for_completion(self, reexport_id: str) -> Json:
        return await wait_until(
            lambda: self.get_reexport(reexport_id), lambda job: ReexportStatus(job["status"]).is_final
        )

    async def complete_reexport(self, report_id: str, **fields: object) -> Json:
        job = await self.wait_for_completion(await self.start_reexport(report_id, **fields))
        assert job["status"] == "completed", job["error"]
        return job

    async def cancel(self, reexport_id: str) -> httpx.Response:
        return await self.http_client.delete(f"{REEXPORTS}/{reexport_id}", headers=self.headers)

    async def edit(self, reexport_id: str, body: Json, if_match: str | None = "*") -> httpx.Response:
        headers = self.headers | ({"If-Match": if_match} if if_match else {})
        return await self.http_client.put(f"{REEXPORTS}/{reexport_id}", json=body, headers=headers)

    async def list_versions(self, report_id: str) -> list[Json]:
        response = await self.http_client.get(f"{REPORTS}/{report_id}", headers=self.headers)
        files: list[Json] = response.raise_for_status().json()["files"]
        return files

    def export_prefix(self, export_id: str) -> str:
        """Return the prefix of the export's objects in storage."""
        return f"exports/{self.export_client.org_id}/{export_id}/"


async def download_file(job: Json) -> bytes:
    """Download the job's file without credentials: the link is enough."""
    async with httpx.AsyncClient() as http_client:
        return (await http_client.get(job["download_url"])).raise_for_status().content


def fetch_status_history(owner_url: str, job_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT status FROM audit_events WHERE subject_id = %s AND status IS NOT NULL ORDER BY seq"
        return [status for (status,) in connection.execute(query, [job_id]).fetchall()]


def fetch_notifications(owner_url: str, job_id: str) -> list[tuple[str, str]]:
    """Load the kind and the job status of each notification of the job."""
    with psycopg.connect(owner_url) as connection:
        query = "SELECT kind, status FROM notifications WHERE subject_id = %s"
        return connection.execute(query, [job_id]).fetchall()


def add_mapping_version(owner_url: str, org_id: str, edit: Callable[[Json], Json]) -> None:
    """Add a version of the organisation's column mapping, which is effective as long as the newest one is."""
    with psycopg.connect(owner_url) as connection:
        query = "SELECT document FROM column_mappings WHERE org_id = %s ORDER BY version DESC LIMIT 1"
        row = connection.execute(query, [org_id]).fetchone()
        assert row is not None
        document = validate_document(edit(row[0]))
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " SELECT org_id, max(version) + 1, gen_random_uuid(), %s, %s, %s FROM column_mappings"
            " WHERE org_id = %s GROUP BY org_id",
            [document.effective_from, document.sha256, json.Json(document.as_json()), org_id],
        )
