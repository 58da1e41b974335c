"""Writes a bundle: a ZIP file of the report, the attachments and, last, the manifest that lists them.

Every object is read in full before it is added, because its size and checksum must be known by then.
Small objects are buffered meanwhile, large ones are read twice.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

import polars as pl
from isal import isal_zlib

from stafett.activity_frames import OSLO_DAY
from stafett.attachment_bundler.manifest import (
    MANIFEST_NAME,
    AttachmentSource,
    BundleManifest,
    BundleMember,
    ReportSource,
)
from stafett.attachment_bundler.names import build_member_name, is_compressed
from stafett.attachment_bundler.unavailable import UnavailableAttachment, UnavailableReason
from stafett.domain.errors import NotFoundError, ServiceUnavailableError, StagedDataLostError
from stafett.domain.export_outputs import ReportFile
from stafett.storage.files import FileStorage
from stafett.storage.zip_archive import SizeAndCrc, ZipArchive

_MAX_READ_AHEAD = 4
_MAX_BUFFERED_BYTES = 8 * 1024 * 1024
_CHANGED_WHILE_BUNDLED = "A stable copy of a file that changed while it was bundled"


class StagedAttachment(NamedTuple):
    """A row of the staged attachment list; ``number`` counts the attachments of one activity from 1."""

    row: int
    activity_id: UUID
    day: date
    attachment_id: UUID
    file_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    object_key: str
    number: int

    @property
    def member(self) -> BundleMember:
        return BundleMember(
            name=build_member_name(self.day, self.activity_id, self.number, self.file_name, self.mime_type),
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            source=AttachmentSource(activity_id=self.activity_id, attachment_id=self.attachment_id),
        )


def attachments_from_frame(staged: pl.DataFrame) -> Iterator[StagedAttachment]:
    numbered = staged.with_columns(
        pl.col("file_name", "mime_type").fill_null(""), number=pl.int_range(1, pl.len() + 1).over("activity_id")
    )
    for row in numbered.rename({OSLO_DAY: "day"}).iter_rows(named=True):
        ids = {"activity_id": UUID(row["activity_id"]), "attachment_id": UUID(row["attachment_id"])}
        yield StagedAttachment(**(row | ids))


def _ignore_progress(_size: int) -> None:
    """Report no progress from read-ahead threads."""


@dataclass
class _ObjectContent:
    """The size and checksums of an object that has been read once, and its bytes if it is small."""

    key: str
    size: int = 0
    crc: int = 0
    hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    buffer: list[bytes] | None = field(default_factory=list)

    def update(self, block: bytes) -> None:
        self.size += len(block)
        self.crc = isal_zlib.crc32(block, self.crc)
        self.hash.update(block)
        if self.buffer is not None:
            self.buffer.append(block)
            if self.size > _MAX_BUFFERED_BYTES:
                self.buffer = None

    def matches(self, size: int, sha256: str) -> bool:
        return (self.size, self.hash.hexdigest()) == (size, sha256)


_PendingRead = tuple[StagedAttachment, Callable[[], _ObjectContent | None]]


class BundleWriter:
    """Writer of a bundle as chunks of a ZIP file. Each member is verified before its first byte is written."""

    def __init__(
        self,
        storage: FileStorage,
        *,
        timestamp: datetime,
        report_progress: Callable[[int], None],
        on_unavailable: Callable[[UnavailableAttachment], None],
    ) -> None:
        self._storage = storage
        self._archive = ZipArchive(timestamp)
        self._report_progress = report_progress
        self._on_unavailable = on_unavailable
        self.members: list[BundleMember] = []
        self.unavailable: list[UnavailableAttachment] = []

    def write_chunks(
        self,
        report: ReportFile,
        attachments: Iterable[StagedAttachment],
        build_manifest: Callable[[tuple[BundleMember, ...]], BundleManifest],
    ) -> Iterator[bytes]:
        yield from self._write_report(report)
        for attachment, content in self._read_ahead(attachments):
            yield from self._write_attachment(attachment, content)
        self._archive.start_deflated(MANIFEST_NAME)
        self._archive.write(build_manifest(tuple(self.members)).to_bytes())
        yield from self._archive.finish()

    def _write_report(self, report: ReportFile) -> Iterator[bytes]:
        content = self._read_object(report.key, report.size_bytes, self._report_progress)
        if content is None or not content.matches(report.size_bytes, report.sha256):
            raise StagedDataLostError
        member = BundleMember(
            name=report.name, size_bytes=report.size_bytes, sha256=report.sha256, source=ReportSource()
        )
        yield from self._write_member(member, report.mime_type, content)

    def _read_ahead(
        self, attachments: Iterable[StagedAttachment]
    ) -> Iterator[tuple[StagedAttachment, _ObjectContent | None]]:
        """Read small attachments in threads while earlier ones are written; read a large one only when it is next."""
        threads, pending = ThreadPoolExecutor(_MAX_READ_AHEAD), deque[_PendingRead]()
        try:
            for attachment in attachments:
                read = partial(self._read_object, attachment.object_key, attachment.size_bytes)
                is_small = attachment.size_bytes <= _MAX_BUFFERED_BYTES
                pending.append(
                    (
                        attachment,
                        threads.submit(copy_context().run, read).result
                        if is_small
                        else partial(read, self._report_progress),
                    )
                )
                if len(pending) > _MAX_READ_AHEAD:
                    yield _await_first(pending)
            while pending:
                yield _await_first(pending)
        finally:
            threads.shutdown(cancel_futures=True)

    def _write_attachment(self, attachment: StagedAttachment, content: _ObjectContent | None) -> Iterator[bytes]:
        if content is None:
            self._add_missing(attachment, UnavailableReason.NOT_IN_STORAGE)
        elif content.matches(attachment.size_bytes, attachment.sha256):
            yield from self._write_member(attachment.member, attachment.mime_type, content)
        else:
            self._add_missing(attachment, UnavailableReason.CHANGED)

    def _add_missing(self, attachment: StagedAttachment, reason: UnavailableReason) -> None:
        missing = UnavailableAttachment(attachment.row, attachment.activity_id, reason)
        self._on_unavailable(missing)
        self.unavailable.append(missing)
        self.members.append(attachment.member.model_copy(update={"missing": True, "reason": reason}))

    def _read_object(
        self, key: str, expected_size: int, report_progress: Callable[[int], None] = _ignore_progress
    ) -> _ObjectContent | None:
        """Read an object, or return None if it does not exist; stop soon after the expected size is exceeded."""
        content = _ObjectContent(key)
        with suppress(NotFoundError), closing(self._storage.read_chunks(key)) as blocks:
            for block in blocks:
                content.update(block)
                report_progress(0)
                if content.size > expected_size:
                    break
            return content
        return None

    def _write_member(self, member: BundleMember, mime_type: str, content: _ObjectContent) -> Iterator[bytes]:
        if is_compressed(member.name, mime_type):
            self._archive.start_stored(member.name, SizeAndCrc(content.size, content.crc))
        else:
            self._archive.start_deflated(member.name, content.size)
        for block in self._reread_object(content) if content.buffer is None else content.buffer:
            self._archive.write(block)
            yield from self._archive.take_ready()
            self._report_progress(len(block))
        self.members.append(member)

    def _reread_object(self, content: _ObjectContent) -> Iterator[bytes]:
        """Read a large object again. A change since the first read fails this bundle; the retry reads it again."""
        reread = _ObjectContent(content.key, buffer=None)
        try:
            for block in self._storage.read_chunks(content.key):
                reread.update(block)
                yield block
        except NotFoundError:
            raise ServiceUnavailableError(_CHANGED_WHILE_BUNDLED) from None
        if not reread.matches(content.size, content.hash.hexdigest()):
            raise ServiceUnavailableError(_CHANGED_WHILE_BUNDLED)


def _await_first(pending: deque[_PendingRead]) -> tuple[StagedAttachment, _ObjectContent | None]:
    attachment, read = pending.popleft()
    return attachment, read()
