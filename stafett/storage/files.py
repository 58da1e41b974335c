"""Objects in S3: written as they are made, read as they are needed, handed out by signed links."""

import hashlib
from collections.abc import Container, Generator, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast
from urllib.parse import quote

from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject

from stafett.domain.errors import NotFoundError, ServiceUnavailableError, StagedDataLostError
from stafett.domain.export_outputs import StagedPart
from stafett.domain.frozen import FrozenModel
from stafett.settings import S3Settings
from stafett.storage.s3 import client_of, translated

LINK_LIFE = timedelta(hours=48)
_PART_SIZE = 8 * 1024 * 1024
_BLOCK = 1024 * 1024


class StoredObject(FrozenModel):
    """What lies where, and how to know that it is still the same."""

    key: str
    size_bytes: int
    sha256: str


class FileStorage:
    """One bucket. What S3 or the network says is translated here, once."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._client = client_of(settings, settings.endpoint)
        # A link is signed for the host that browsers reach; signing asks no server anything.
        self._signer = client_of(settings, settings.public_endpoint or settings.endpoint)

    def write(self, key: str, chunks: Iterable[bytes], mime_type: str = "application/octet-stream") -> StoredObject:
        """Upload as the chunks come, in memory that does not grow; an upload that breaks off leaves nothing."""
        stream = _HashedStream(chunks)
        with translated():
            self._client.put_object(
                self._bucket,
                key,
                cast("BinaryIO", stream),
                length=-1,
                part_size=_PART_SIZE,
                content_type=mime_type,
                num_parallel_uploads=1,  # its thread pool outlives an upload that breaks off
            )
        return StoredObject(key=key, size_bytes=stream.size, sha256=stream.sha256)

    def copy(self, key: str, to: str) -> None:
        """The same bytes under another name; none of them passes through here."""
        with translated():
            self._client.copy_object(self._bucket, to, CopySource(self._bucket, key))

    def chunks(self, key: str) -> Generator[bytes, None, None]:
        """The object, a block at a time."""
        with translated(), closing(self.open(key)) as stream:
            while block := stream.read(_BLOCK):
                yield block

    def read(self, key: str) -> bytes:
        return b"".join(self.chunks(key))

    def read_part(self, part: StagedPart) -> bytes:
        """A staged part, and nothing else under its name."""
        try:
            content = self.read(part.key)
        except NotFoundError:
            raise StagedDataLostError from None
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise StagedDataLostError
        return content

    def open(self, key: str) -> BinaryIO:
        """The object as a stream; close it."""
        with translated():
            return cast("BinaryIO", self._client.get_object(self._bucket, key))

    def remove_below(self, prefix: str, *, spared: Container[str] = ()) -> None:
        """Delete every object whose key begins so, but those, and break off every upload of one."""
        self.break_off_uploads(prefix)
        self.remove(key for key in self.keys_below(prefix) if key not in spared)

    def break_off_uploads(self, prefix: str) -> None:
        """What somebody who was killed began to upload: storage keeps it for ever, and no list of objects shows it."""
        with translated():
            for upload_id, key in self.open_uploads(prefix):
                self._client._abort_multipart_upload(self._bucket, key, upload_id)  # noqa: SLF001 - minio has no public way

    def remove(self, keys: Iterable[str]) -> None:
        with translated():
            for error in self._client.remove_objects(self._bucket, [DeleteObject(key) for key in keys]):
                raise ServiceUnavailableError(f"S3 ({error.code})")

    def open_uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Each by its id and the key it is for."""
        found = self._client._list_multipart_uploads(self._bucket, prefix=prefix)  # noqa: SLF001 - minio has no public way
        return [(upload.upload_id or "", upload.object_name) for upload in found.uploads]

    def keys_below(self, prefix: str) -> list[str]:
        with translated():
            return [o.object_name or "" for o in self._client.list_objects(self._bucket, prefix, recursive=True)]

    def link(self, key: str, file_name: str, now: datetime) -> tuple[str, datetime]:
        """A link to this one object and when it ends: the same all day, so that polling changes nothing."""
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        url = self._signer.presigned_get_object(
            self._bucket,
            key,
            expires=LINK_LIFE,
            request_date=day,
            response_headers={"response-content-disposition": f"attachment; filename*=UTF-8''{quote(file_name)}"},
        )
        return url, day + LINK_LIFE

    def ensure_bucket(self) -> None:
        with translated():
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)

    def ping(self) -> None:
        with translated():
            if not self._client.bucket_exists(self._bucket):
                raise ServiceUnavailableError(f"The bucket {self._bucket}")


class _HashedStream:
    """Chunks as the stream that the client reads, counted and hashed on their way."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._waiting = bytearray()
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._waiting) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._hash.update(chunk)
            self.size += len(chunk)
            self._waiting += chunk
        with memoryview(self._waiting) as waiting:  # a slice of the bytearray would be one copy more
            taken = bytes(waiting if size < 0 else waiting[:size])
        del self._waiting[: len(taken)]
        return taken
