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
from stafett.storage.s3 import create_s3_client, translate_s3_errors

PRESIGNED_URL_LIFETIME = timedelta(hours=48)
_PART_SIZE = 8 * 1024 * 1024
_BLOCK_SIZE = 1024 * 1024


class StoredObject(FrozenModel):
    """What lies where, and how to know that it is still the same."""

    key: str
    size_bytes: int
    sha256: str


class FileStorage:
    """One bucket. What S3 or the network says is translated here, once."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._client = create_s3_client(settings, settings.endpoint)
        # A link is signed for the host that browsers reach; signing asks no server anything.
        self._signer = create_s3_client(settings, settings.public_endpoint or settings.endpoint)

    def write(self, key: str, chunks: Iterable[bytes], mime_type: str = "application/octet-stream") -> StoredObject:
        """Upload as the chunks come, in memory that does not grow; an upload that breaks off leaves nothing."""
        stream = _HashingStream(chunks)
        with translate_s3_errors():
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

    def copy(self, key: str, target_key: str) -> None:
        """The same bytes under another name; none of them passes through here."""
        with translate_s3_errors():
            self._client.copy_object(self._bucket, target_key, CopySource(self._bucket, key))

    def read_chunks(self, key: str) -> Generator[bytes, None, None]:
        """The object, a block at a time."""
        with translate_s3_errors(), closing(self.open(key)) as stream:
            while block := stream.read(_BLOCK_SIZE):
                yield block

    def read(self, key: str) -> bytes:
        return b"".join(self.read_chunks(key))

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
        with translate_s3_errors():
            return cast("BinaryIO", self._client.get_object(self._bucket, key))

    def delete_prefix(self, prefix: str, *, protected_keys: Container[str] = ()) -> None:
        """Delete every object whose key begins so, but those, and break off every upload of one."""
        self.abort_uploads(prefix)
        self.delete(key for key in self.list_keys(prefix) if key not in protected_keys)

    def abort_uploads(self, prefix: str) -> None:
        """What somebody who was killed began to upload: storage keeps it for ever, and no list of objects shows it."""
        with translate_s3_errors():
            for upload_id, key in self.list_incomplete_uploads(prefix):
                self._client._abort_multipart_upload(self._bucket, key, upload_id)  # noqa: SLF001 - minio has no public way

    def delete(self, keys: Iterable[str]) -> None:
        with translate_s3_errors():
            for error in self._client.remove_objects(self._bucket, [DeleteObject(key) for key in keys]):
                raise ServiceUnavailableError(f"S3 ({error.code})")

    def list_incomplete_uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Each by its id and the key it is for."""
        found = self._client._list_multipart_uploads(self._bucket, prefix=prefix)  # noqa: SLF001 - minio has no public way
        return [(upload.upload_id or "", upload.object_name) for upload in found.uploads]

    def list_keys(self, prefix: str) -> list[str]:
        with translate_s3_errors():
            return [o.object_name or "" for o in self._client.list_objects(self._bucket, prefix, recursive=True)]

    def presign_url(self, key: str, file_name: str, now: datetime) -> tuple[str, datetime]:
        """A link to this one object and when it ends: the same all day, so that polling changes nothing."""
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        url = self._signer.presigned_get_object(
            self._bucket,
            key,
            expires=PRESIGNED_URL_LIFETIME,
            request_date=day,
            response_headers={"response-content-disposition": f"attachment; filename*=UTF-8''{quote(file_name)}"},
        )
        return url, day + PRESIGNED_URL_LIFETIME

    def ensure_bucket(self) -> None:
        with translate_s3_errors():
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)

    def ping(self) -> None:
        with translate_s3_errors():
            if not self._client.bucket_exists(self._bucket):
                raise ServiceUnavailableError(f"The bucket {self._bucket}")


class _HashingStream:
    """Chunks as the stream that the client reads, counted and hashed on their way."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._hash.update(chunk)
            self.size += len(chunk)
            self._buffer += chunk
        with memoryview(self._buffer) as waiting:  # a slice of the bytearray would be one copy more
            taken = bytes(waiting if size < 0 else waiting[:size])
        del self._buffer[: len(taken)]
        return taken
