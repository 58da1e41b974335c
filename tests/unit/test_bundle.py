"""An attachment that changes while it is being bundled; played, because no storage does it on demand."""

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


class Fickle(FileStorage):
    """Another content each time it is read; nothing, once there is no more."""

    def __init__(self, *contents: bytes) -> None:
        self._contents = iter(contents)

    def read_chunks(self, key: str) -> Generator[bytes, None, None]:
        content = b"a;b" if key == "report" else next(self._contents, None)
        if content is None:
            raise NotFoundError("gone")
        for start in range(0, len(content), len(BLOCK)):
            yield content[start : start + len(BLOCK)]


def attachment(content: bytes) -> StagedAttachment:
    about = ("film.mp4", "video/mp4", len(content), hashlib.sha256(content).hexdigest(), "film")
    return StagedAttachment(0, uuid4(), date(2026, 1, 5), uuid4(), *about, number=1)


def unused(_members: tuple[BundleMember, ...]) -> BundleManifest:
    raise AssertionError("there is nothing to tell of a bundle that broke off")


def never(found: UnavailableAttachment) -> None:
    raise AssertionError(found)


@pytest.mark.parametrize("second", [[b"\x01" + LARGE[1:]], [LARGE[:-1]], []], ids=["changed", "cut", "gone"])
def test_one_that_is_another_when_it_is_read_again_ends_the_bundle(second: list[bytes]) -> None:
    at = datetime(2026, 12, 31, tzinfo=UTC)
    bundle = BundleWriter(
        Fickle(LARGE, *second), timestamp=at, report_progress=lambda _size: None, on_unavailable=never
    )
    with pytest.raises(ServiceUnavailableError):
        list(bundle.write_chunks(REPORT, [attachment(LARGE)], unused))
