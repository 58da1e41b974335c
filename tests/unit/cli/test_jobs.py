"""The file of a finished job on the user's disk."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from stafett.cli.client import ApiClient, ApiError
from stafett.cli.jobs import download_job_file


class _FakeClient(ApiClient):
    def __init__(self) -> None:
        """Connect to nothing."""

    def request_file_url(self, export_id: str) -> str:
        return f"http://test/{export_id}"

    def download(self, url: str, target: Path, sha256: str, report_progress: Callable[[int], None]) -> None:
        content = (url + sha256).encode()
        target.write_bytes(content)
        report_progress(len(content))


def test_file_name_of_the_server_cannot_leave_the_output_folder(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    file = {"name": "../../report.csv", "size_bytes": 15, "sha256": "abc"}
    job = {"id": "1", "status": "completed", "download_url": "http://test/", "file": file}
    assert download_job_file(_FakeClient(), job, "1", str(output), force=False, quiet=True) == output / "report.csv"


class _ReplacedFileClient(_FakeClient):
    """An API in which an administrator has replaced the missing file of an export."""

    def request_file_url(self, export_id: str) -> str:
        raise ApiError(f"The file of {export_id} is missing.", HTTPStatus.GONE)


def test_replaced_file_is_downloaded_by_the_link_of_the_job(tmp_path: Path) -> None:
    file = {"name": "report.csv", "size_bytes": 15, "sha256": "abc"}
    job = {"id": "1", "status": "completed", "download_url": "http://replaced/", "file": file}
    target = download_job_file(_ReplacedFileClient(), job, "2", str(tmp_path), force=False, quiet=True)
    assert target.read_text() == "http://replaced/abc"
    download_job_file(_FakeClient(), job, "2", str(tmp_path), force=True, quiet=True)
    assert target.read_text() == "http://test/2abc"
