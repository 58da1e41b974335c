"""A bundle as it is made: the report, the attachments, and last the manifest that names them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import polars as pl

from stafett.activity_rows import OSLO_DAY
from stafett.attachment_bundler.manifest import MANIFEST, AttachmentSource, Manifest, Member, ReportSource
from stafett.attachment_bundler.names import is_compressed, member_name
from stafett.attachment_bundler.unavailable import Unavailability, Unavailable
from stafett.attachment_bundler.zip_stream import ZipStream
from stafett.domain.errors import LostInStorageError, NotFoundError, ServiceAwayError
from stafett.domain.export_outputs import ReportFile
from stafett.file_storage import FileStorage

_SMALL = 8 * 1024 * 1024
_FICKLE = "An attachment that changes while it is read"


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
    def is_small(self) -> bool:
        return self.size_bytes <= _SMALL

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


class Bundle:
    """Chunks of a ZIP file; what is wrong with an attachment is known before its first byte is in it."""

    def __init__(
        self,
        storage: FileStorage,
        *,
        at: datetime,
        progress: Callable[[int], None],
        refuse: Callable[[Unavailable], None],
    ) -> None:
        self._storage = storage
        self._zip = ZipStream(at)
        self._progress = progress
        self._refuse = refuse
        self.members: list[Member] = []
        self.unavailable: list[Unavailable] = []

    def chunks(
        self, report: ReportFile, attachments: Iterable[Attachment], manifest: Callable[[tuple[Member, ...]], Manifest]
    ) -> Iterator[bytes]:
        yield from self._report(report)
        for attachment in attachments:
            yield from self._attachment(attachment)
        content = manifest(tuple(self.members)).as_bytes()
        yield from self._zip.member(MANIFEST, len(content), [content], stored=False)
        yield self._zip.end()

    def _report(self, report: ReportFile) -> Iterator[bytes]:
        stored = is_compressed(report.name, report.mime_type)
        yield from self._zip.member(report.name, report.size_bytes, self._unchanged(report), stored=stored)
        member = Member(name=report.name, size_bytes=report.size_bytes, sha256=report.sha256, source=ReportSource())
        self.members.append(member)

    def _unchanged(self, report: ReportFile) -> Iterator[bytes]:
        found = hashlib.sha256()
        try:
            for block in self._storage.chunks(report.key):
                found.update(block)
                yield block
                self._progress(len(block))
        except NotFoundError:
            raise LostInStorageError from None
        if found.hexdigest() != report.sha256:
            raise LostInStorageError

    def _attachment(self, attachment: Attachment) -> Iterator[bytes]:
        member, held = attachment.member, list[bytes]()
        if reason := self._examined(attachment, held):
            self._missing(attachment, member, reason)
            return
        blocks = held if attachment.is_small else self._again(attachment)
        stored = is_compressed(member.name, attachment.mime_type)
        yield from self._zip.member(member.name, member.size_bytes, blocks, stored=stored)
        self.members.append(member)

    def _missing(self, attachment: Attachment, member: Member, reason: Unavailability) -> None:
        found = Unavailable(attachment.row, attachment.activity_id, reason)
        self._refuse(found)
        self.unavailable.append(found)
        self.members.append(member.model_copy(update={"missing": True, "reason": reason}))

    def _examined(self, attachment: Attachment, held: list[bytes]) -> Unavailability | None:
        """Why it is not to be had, if so; a small one is read but once, and held."""
        found, size = hashlib.sha256(), 0
        try:
            with closing(self._storage.chunks(attachment.object_key)) as blocks:
                for block in blocks:
                    found.update(block)
                    size += len(block)
                    if size > attachment.size_bytes:
                        return Unavailability.NOT_AS_IT_WAS
                    if attachment.is_small:
                        held.append(block)
                    self._progress(len(block))
        except NotFoundError:
            return Unavailability.NOT_IN_STORAGE
        is_as_it_was = (size, found.hexdigest()) == (attachment.size_bytes, attachment.sha256)
        return None if is_as_it_was else Unavailability.NOT_AS_IT_WAS

    def _again(self, attachment: Attachment) -> Iterator[bytes]:
        """One that changes between two readings ends this bundle; the next try finds out what became of it."""
        found = hashlib.sha256()
        try:
            for block in self._storage.chunks(attachment.object_key):
                found.update(block)
                yield block
                self._progress(0)
        except NotFoundError:
            raise ServiceAwayError(_FICKLE) from None
        if found.hexdigest() != attachment.sha256:
            raise ServiceAwayError(_FICKLE)
