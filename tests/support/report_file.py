"""The file of a finished export, downloaded by its link as a browser would and parsed as a spreadsheet would."""

import csv
import hashlib
import io
from dataclasses import dataclass

from stafett.testing import ExportClient, Json
from tests.support.dev_stack import open_http_client

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
        """The activity ids, which are the last column of the standard mapping."""
        return [row[-1] for row in self.rows]


async def fetch_report_file(job: Json) -> ReportFile:
    assert job["status"] == "completed", job["error"]
    async with open_http_client() as anonymous_client:
        content = (await anonymous_client.get(job["download_url"])).raise_for_status().content
    assert len(content) == job["file"]["size_bytes"]
    assert hashlib.sha256(content).hexdigest() == job["file"]["sha256"]
    return ReportFile(job, content)


async def export_report_file(export_client: ExportClient, **fields: object) -> ReportFile:
    """Start an export, wait for its completion and download its file."""
    return await fetch_report_file(await export_client.wait_for_completion(await export_client.start_export(**fields)))
