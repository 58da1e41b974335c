"""An attachment that changes while it is bundled, from a fake storage: a real one does not do that on demand."""

import hashlib
from collections.abc import Generator
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from stafett.attachment_bundler.bundle import BundleWriter, StagedAttachment
from stafett.attachment_bundler.manifest import BundleManifest, BundleMember
from stafett.attachment_bundler.unavailable import UnavailableAttachment
from stafett.domain.errors import NotFoundError, ServiceUnavailableError
from stafett.domain.export_outputs import ReportFile
from stafett.storage.files import FileStorage

BLOCK = bytes(1024 * 1024)
LARGE = BLOCK * 9
REPORT = ReportFile(
    name="r.csv",
    mime_type="text/csv",
    size_bytes=3,
    sha256=hashlib.sha256(b"a;b").hexdigest(),
    content_sha256="0" * 64,
    key="report",
    rows=1,
)


class ChangingStorage(FileStorage):
    """Storage that returns other content at each read, and none once the contents are used up."""

    def __init__(self, *contents: bytes) -> None:
        self._contents = iter(contents)

    def read_chunks(self, key: str) -> Generator[bytes, None, None]:
        content = b"a;b" if key == "report" else next(self._contents, None)
        if content is None:
            raise NotFoundError("gone")
        for start in range(0, len(content), len(BLOCK)):
            yield content[start : start + len(BLOCK)]


def stage_attachment(content: bytes) -> StagedAttachment:
    description = ("film.mp4", "video/mp4", len(content), hashlib.sha256(content).hexdigest(), "film")
    return StagedAttachment(0, uuid4(), date(2026, 1, 5), uuid4(), *description, number=1)


def fail_on_manifest(_members: tuple[BundleMember, ...]) -> BundleManifest:
    raise AssertionError("an aborted bundle has no manifest")


def fail_on_unavailable(attachment: UnavailableAttachment) -> None:
    raise AssertionError(attachment)


@pytest.mark.parametrize(
    "second_read", [[b"\x01" + LARGE[1:]], [LARGE[:-1]], []], ids=["changed", "truncated", "missing"]
)
def test_attachment_that_changes_between_reads_aborts_the_bundle(second_read: list[bytes]) -> None:
    at = datetime(2026, 12, 31, tzinfo=UTC)
    bundle = BundleWriter(
        ChangingStorage(LARGE, *second_read),
        timestamp=at,
        report_progress=lambda _size: None,
        on_unavailable=fail_on_unavailable,
    )
    with pytest.raises(ServiceUnavailableError):
        list(bundle.write_chunks(REPORT, [stage_attachment(LARGE)], fail_on_manifest))
