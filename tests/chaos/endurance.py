"""A coordinator who keeps asking, whatever is being killed meanwhile."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import httpx
import psycopg

from stafett.domain.export_status import EXPORT_FINAL_STATUSES
from stafett.testing import ExportClient, Json, wait_until
from tests.acceptance.dev_stack import EXPORTS, DevStack
from tests.acceptance.report_file import fetch

_OUT_OF_REACH: Json = {"status": "out of reach"}
_IN_ORDER = """
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
    dev: DevStack
    headers: dict[str, str]

    async def press(self, year: int = BIG_YEAR.year) -> str:
        period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
        async with self.dev.gateway() as gateway:
            button = ExportClient(gateway, "nhf", self.headers)
            accepted = await button.request_export(reporting_period=period, csv_profile="machine")
        assert accepted.status_code == 202, accepted.text
        return str(accepted.json()["id"])

    async def look(self, export_id: str) -> Json:
        """The export, or that nobody answers for the moment."""
        try:
            async with self.dev.gateway() as gateway:
                answer = await gateway.get(f"{EXPORTS}/{export_id}", headers=self.headers)
        except httpx.TransportError:
            return _OUT_OF_REACH
        if answer.is_server_error:
            return _OUT_OF_REACH
        job: Json = answer.raise_for_status().json()
        return job

    async def in_the_middle_of(self, export_id: str) -> Json:
        return await self._when(export_id, {"mapping_columns", "generating_file"})

    async def end_of(self, export_id: str) -> Json:
        return await self._when(export_id, EXPORT_FINAL_STATUSES, within=60)

    async def _when(self, export_id: str, states: AbstractSet[str], within: float = 30) -> Json:
        return await wait_until(
            lambda: self.look(export_id), lambda job: job["status"] in states, timeout_seconds=within
        )


async def assert_exported_once_and_right(dev: DevStack, job: Json) -> None:
    """One completed event in the trail, one attempt's worth of it, and every row of the year in its order."""
    report = await fetch(job)
    with psycopg.connect(dev.database_url) as connection:
        expected = [row[0] for row in connection.execute(_IN_ORDER, [BIG_YEAR.year])]
        events = connection.execute("SELECT status FROM audit_events WHERE subject_id = %s", [job["id"]]).fetchall()
    assert [status for (status,) in events].count("completed") == 1
    assert len(expected) == job["row_count"] == job["counts"]["queried"] == BIG_YEAR.rows
    assert report.ids == expected
