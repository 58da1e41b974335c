"""A bundle as it is made: the report, the attachments, and last the manifest that names them.

Every member is read before it goes in, for what it is has to be known by then; a small one is held meanwhile.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

import polars as pl
from isal import isal_zlib

from stafett.activity_frames import OSLO_DAY
from stafett.attachment_bundler.manifest import MANIFEST, AttachmentSource, Manifest, Member, ReportSource
from stafett.attachment_bundler.names import is_compressed, member_name
from stafett.attachment_bundler.unavailable import Unavailability, Unavailable
from stafett.domain.errors import NotFoundError, ServiceUnavailableError, StagedDataLostError
from stafett.domain.export_outputs import ReportFile
from stafett.storage.files import FileStorage
from stafett.storage.zip_archive import Known, ZipArchive

_AHEAD = 4
_SMALL = 8 * 1024 * 1024
_FICKLE = "A file that changes while it is bundled"


class Attachment(NamedTuple):
    """One of the staged rows; ``number`` counts those of its activity."""

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
    def member(self) -> Member:
        return Member(
            name=member_name(self.day, self.activity_id, self.number, self.file_name, self.mime_type),
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            source=AttachmentSource(activity_id=self.activity_id, attachment_id=self.attachment_id),
        )


def attachments_of(staged: pl.DataFrame) -> Iterator[Attachment]:
    numbered = staged.with_columns(
        pl.col("file_name", "mime_type").fill_null(""), number=pl.int_range(1, pl.len() + 1).over("activity_id")
    )
    for row in numbered.rename({OSLO_DAY: "day"}).iter_rows(named=True):
        ids = {"activity_id": UUID(row["activity_id"]), "attachment_id": UUID(row["attachment_id"])}
        yield Attachment(**(row | ids))


def _untold(_size: int) -> None:
    """Threads tell nobody how far they have come."""


@dataclass
class _Content:
    """An object that has been read once."""

    key: str
    size: int = 0
    crc: int = 0
    hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    held: list[bytes] | None = field(default_factory=list)

    def take(self, block: bytes) -> None:
        self.size += len(block)
        self.crc = isal_zlib.crc32(block, self.crc)
        self.hash.update(block)
        if self.held is not None:
            self.held.append(block)
            if self.size > _SMALL:
                self.held = None

    def is_what(self, size: int, sha256: str) -> bool:
        return (self.size, self.hash.hexdigest()) == (size, sha256)


_Reading = tuple[Attachment, Callable[[], _Content | None]]


class Bundle:
    """Chunks of a ZIP file; what is wrong with a member is known before its first byte is in it."""

    def __init__(
        self,
        storage: FileStorage,
        *,
        at: datetime,
        progress: Callable[[int], None],
        refuse: Callable[[Unavailable], None],
    ) -> None:
        self._storage = storage
        self._zip = ZipArchive(at)
        self._progress = progress
        self._refuse = refuse
        self.members: list[Member] = []
        self.unavailable: list[Unavailable] = []

    def chunks(
        self, report: ReportFile, attachments: Iterable[Attachment], manifest: Callable[[tuple[Member, ...]], Manifest]
    ) -> Iterator[bytes]:
        yield from self._report(report)
        for attachment, content in self._read_ahead(attachments):
            yield from self._attachment(attachment, content)
        self._zip.begin(MANIFEST)
        self._zip.write(manifest(tuple(self.members)).as_bytes())
        yield from self._zip.finish()

    def _report(self, report: ReportFile) -> Iterator[bytes]:
        content = self._read(report.key, report.size_bytes, self._progress)
        if content is None or not content.is_what(report.size_bytes, report.sha256):
            raise StagedDataLostError
        member = Member(name=report.name, size_bytes=report.size_bytes, sha256=report.sha256, source=ReportSource())
        yield from self._put(member, report.mime_type, content)

    def _read_ahead(self, attachments: Iterable[Attachment]) -> Iterator[tuple[Attachment, _Content | None]]:
        """Small ones come from storage while those before them are written; what is large waits for its turn."""
        threads, waiting = ThreadPoolExecutor(_AHEAD), deque[_Reading]()
        try:
            for attachment in attachments:
                read = partial(self._read, attachment.object_key, attachment.size_bytes)
                is_small = attachment.size_bytes <= _SMALL
                waiting.append((attachment, threads.submit(read).result if is_small else partial(read, self._progress)))
                if len(waiting) > _AHEAD:
                    yield _first_of(waiting)
            while waiting:
                yield _first_of(waiting)
        finally:
            threads.shutdown(cancel_futures=True)

    def _attachment(self, attachment: Attachment, content: _Content | None) -> Iterator[bytes]:
        if content is None:
            self._missing(attachment, Unavailability.NOT_IN_STORAGE)
        elif content.is_what(attachment.size_bytes, attachment.sha256):
            yield from self._put(attachment.member, attachment.mime_type, content)
        else:
            self._missing(attachment, Unavailability.NOT_AS_IT_WAS)

    def _missing(self, attachment: Attachment, reason: Unavailability) -> None:
        found = Unavailable(attachment.row, attachment.activity_id, reason)
        self._refuse(found)
        self.unavailable.append(found)
        self.members.append(attachment.member.model_copy(update={"missing": True, "reason": reason}))

    def _read(self, key: str, size: int, progress: Callable[[int], None] = _untold) -> _Content | None:
        """The object, if there is one, and little further than it should be long."""
        content = _Content(key)
        with suppress(NotFoundError), closing(self._storage.chunks(key)) as blocks:
            for block in blocks:
                content.take(block)
                progress(0)
                if content.size > size:
                    break
            return content
        return None

    def _put(self, member: Member, mime_type: str, content: _Content) -> Iterator[bytes]:
        if is_compressed(member.name, mime_type):
            self._zip.store(member.name, Known(content.size, content.crc))
        else:
            self._zip.begin(member.name, content.size)
        for block in self._again(content) if content.held is None else content.held:
            self._zip.write(block)
            yield from self._zip.ready()
            self._progress(len(block))
        self.members.append(member)

    def _again(self, content: _Content) -> Iterator[bytes]:
        """One that changes between two readings ends this bundle; the next try finds out what became of it."""
        found = _Content(content.key, held=None)
        try:
            for block in self._storage.chunks(content.key):
                found.take(block)
                yield block
        except NotFoundError:
            raise ServiceUnavailableError(_FICKLE) from None
        if not found.is_what(content.size, content.hash.hexdigest()):
            raise ServiceUnavailableError(_FICKLE)


def _first_of(waiting: deque[_Reading]) -> tuple[Attachment, _Content | None]:
    attachment, read = waiting.popleft()
    return attachment, read()
