"""Objects in S3: streaming upload and download, listing, deletion and presigned URLs."""

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
from stafett.progress import record_step
from stafett.settings import S3Settings
from stafett.storage.s3 import create_s3_client, translate_s3_errors

PRESIGNED_URL_LIFETIME = timedelta(hours=48)
_PART_SIZE = 8 * 1024 * 1024
_BLOCK_SIZE = 1024 * 1024


class StoredObject(FrozenModel):
    """The key of an object, with the size and hash that verify it."""

    key: str
    size_bytes: int
    sha256: str


class FileStorage:
    """One S3 bucket. Errors of S3 and the network are translated to domain errors here."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._client = create_s3_client(settings, settings.endpoint)
        # URLs are signed for the host that browsers reach. Signing sends no request.
        self._signer = create_s3_client(settings, settings.public_endpoint or settings.endpoint)

    def write(self, key: str, chunks: Iterable[bytes], mime_type: str = "application/octet-stream") -> StoredObject:
        """Upload chunks as they are produced, as a multipart upload in constant memory; an error aborts the upload."""
        stream = _HashingStream(chunks)
        with translate_s3_errors():
            self._client.put_object(
                self._bucket,
                key,
                cast("BinaryIO", stream),
                length=-1,
                part_size=_PART_SIZE,
                content_type=mime_type,
                num_parallel_uploads=1,  # minio's thread pool would outlive a failed upload
            )
        return StoredObject(key=key, size_bytes=stream.size, sha256=stream.sha256)

    def copy(self, key: str, target_key: str) -> None:
        """Copy an object to another key inside S3, without downloading it."""
        with translate_s3_errors():
            self._client.copy_object(self._bucket, target_key, CopySource(self._bucket, key))

    def read_chunks(self, key: str) -> Generator[bytes, None, None]:
        """Yield the object in blocks of 1 MiB."""
        with translate_s3_errors(), closing(self.open(key)) as stream:
            while block := stream.read(_BLOCK_SIZE):
                record_step()
                yield block

    def read(self, key: str) -> bytes:
        return b"".join(self.read_chunks(key))

    def read_part(self, part: StagedPart) -> bytes:
        """Read a staged part, or raise ``StagedDataLostError`` if it is missing or its hash differs."""
        try:
            content = self.read(part.key)
        except NotFoundError:
            raise StagedDataLostError from None
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise StagedDataLostError
        return content

    def open(self, key: str) -> BinaryIO:
        """Open the object as a stream, which the caller must close."""
        with translate_s3_errors():
            return cast("BinaryIO", self._client.get_object(self._bucket, key))

    def delete_prefix(self, prefix: str, *, protected_keys: Container[str] = ()) -> None:
        """Abort the uploads to this prefix, and delete its objects except the protected ones."""
        self.abort_uploads(prefix)
        self.delete(key for key in self.list_keys(prefix) if key not in protected_keys)

    def abort_uploads(self, prefix: str) -> None:
        """Abort uploads of killed processes, which S3 stores for ever and no listing of objects shows."""
        with translate_s3_errors():
            for upload_id, key in self.list_incomplete_uploads(prefix):
                self._client._abort_multipart_upload(self._bucket, key, upload_id)  # noqa: SLF001 - minio has no public method

    def delete(self, keys: Iterable[str]) -> None:
        with translate_s3_errors():
            for error in self._client.remove_objects(self._bucket, map(_to_delete_object, keys)):
                raise ServiceUnavailableError(f"S3 ({error.code})")

    def list_incomplete_uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Return the upload id and the key of each incomplete upload."""
        result = self._client._list_multipart_uploads(self._bucket, prefix=prefix)  # noqa: SLF001 - minio has no public method
        return [(upload.upload_id or "", upload.object_name) for upload in result.uploads]

    def list_keys(self, prefix: str) -> list[str]:
        keys = []
        with translate_s3_errors():
            for item in self._client.list_objects(self._bucket, prefix, recursive=True):
                record_step()
                keys.append(item.object_name or "")
        return keys

    def presign_url(self, key: str, file_name: str, now: datetime) -> tuple[str, datetime]:
        """Return an object's URL and its expiry, both constant for a day (UTC), so that polling sees no change."""
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


def _to_delete_object(key: str) -> DeleteObject:
    record_step()
    return DeleteObject(key)


class _HashingStream:
    """A readable stream of chunks that counts and hashes them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        record_step()
        while size < 0 or len(self._buffer) < size:
            chunk = next(self._chunks, None)
            record_step()
            if chunk is None:
                break
            self._hash.update(chunk)
            self.size += len(chunk)
            self._buffer += chunk
        with memoryview(self._buffer) as view:  # slicing the bytearray itself would copy twice
            block = bytes(view if size < 0 else view[:size])
        del self._buffer[: len(block)]
        return block
