"""A finished export's file, fetched by its link as a browser would, and read as a spreadsheet would."""

import csv
import hashlib
import io
from dataclasses import dataclass

from stafett.testing import ExportClient, Json
from tests.acceptance.dev_stack import browser

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ReportFile:
    job: Json
    content: bytes

    @property
    def table(self) -> list[list[str]]:
        excel = self.job["csv_profile"] == "excel"
        text = self.content.removeprefix(BOM).decode()
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=";" if excel else ","))

    @property
    def header(self) -> list[str]:
        return self.table[0]

    @property
    def rows(self) -> list[list[str]]:
        return self.table[1:]

    @property
    def ids(self) -> list[str]:
        """The activities' ids: the last column of the standard mapping."""
        return [row[-1] for row in self.rows]


async def fetch(job: Json) -> ReportFile:
    assert job["status"] == "completed", job["error"]
    async with browser() as anybody:
        content = (await anybody.get(job["download_url"])).raise_for_status().content
    assert len(content) == job["file"]["size_bytes"]
    assert hashlib.sha256(content).hexdigest() == job["file"]["sha256"]
    return ReportFile(job, content)


async def exported(button: ExportClient, **asked: object) -> ReportFile:
    """Press, wait for the end, follow the link."""
    return await fetch(await button.wait_for_completion(await button.start_export(**asked)))
