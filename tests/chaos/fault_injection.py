"""A coordinator who starts and polls exports while processes are killed."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import httpx
import psycopg

from stafett.domain.export_status import EXPORT_FINAL_STATUSES
from stafett.testing import ExportClient, Json, wait_until
from tests.support.dev_stack import EXPORTS, DevStack, repeat_while_unavailable
from tests.support.report_file import fetch_report_file

_UNAVAILABLE: Json = {"status": "unavailable"}
_ACTIVITY_IDS_IN_ORDER = """
SELECT id::text FROM activities
WHERE org_id = 'nhf' AND deleted_at IS NULL AND extract(year FROM starts_at AT TIME ZONE 'Europe/Oslo') = %s
ORDER BY starts_at, activities.id
"""


class Year(NamedTuple):
    year: int
    rows: int


BIG_YEAR = Year(2024, 60_000)


@dataclass(frozen=True)
class Coordinator:
    dev_stack: DevStack
    headers: dict[str, str]

    async def start_export(self, year: int = BIG_YEAR.year) -> str:
        period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
        async with self.dev_stack.api_client() as api_client:
            export_client = ExportClient(api_client, "nhf", self.headers)
            response = await repeat_while_unavailable(
                lambda: export_client.request_export(reporting_period=period, csv_profile="machine")
            )
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def get_export(self, export_id: str) -> Json:
        """Load the export; its status is `unavailable` while the API does not respond."""
        try:
            async with self.dev_stack.api_client() as api_client:
                response = await api_client.get(f"{EXPORTS}/{export_id}", headers=self.headers)
        except httpx.TransportError:
            return _UNAVAILABLE
        if response.is_server_error:
            return _UNAVAILABLE
        job: Json = response.raise_for_status().json()
        return job

    async def wait_until_in_progress(self, export_id: str) -> Json:
        return await self._wait_for_status(export_id, {"mapping_columns", "generating_file"})

    async def wait_for_completion(self, export_id: str) -> Json:
        return await self._wait_for_status(export_id, EXPORT_FINAL_STATUSES)

    async def _wait_for_status(self, export_id: str, statuses: AbstractSet[str]) -> Json:
        return await wait_until(lambda: self.get_export(export_id), lambda job: job["status"] in statuses)


def fetch_activity_ids(database_url: str, year: int) -> list[str]:
    """Load the ids of the year's activities in the order of an export."""
    with psycopg.connect(database_url) as connection:
        return [activity_id for (activity_id,) in connection.execute(_ACTIVITY_IDS_IN_ORDER, [year])]


async def assert_exported_completely_and_once(dev_stack: DevStack, job: Json) -> None:
    """Check that the file has every activity of the year in order, and the audit trail one `completed` event."""
    report = await fetch_report_file(job)
    expected = fetch_activity_ids(dev_stack.database_url, BIG_YEAR.year)
    with psycopg.connect(dev_stack.database_url) as connection:
        events = connection.execute("SELECT status FROM audit_events WHERE subject_id = %s", [job["id"]]).fetchall()
    assert [status for (status,) in events].count("completed") == 1
    assert len(expected) == job["row_count"] == job["counts"]["queried"] == BIG_YEAR.rows
    assert report.ids == expected
