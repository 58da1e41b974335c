"""Objects in S3: streaming upload and download, listing, deletion and presigned URLs."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import quote

from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from stafett.domain.errors import NotFoundError, ServiceUnavailableError, StagedDataLostError
from stafett.domain.export_outputs import StagedPart
from stafett.domain.frozen import FrozenModel
from stafett.domain.thread_progress import record_step
from stafett.settings import S3Settings
from stafett.storage.s3 import S3_SERVICE, WORKER_TIMEOUTS, S3Timeouts, create_s3_client, translate_s3_errors

PRESIGNED_URL_LIFETIME = timedelta(hours=48)
_PART_SIZE = 8 * 1024 * 1024
_BLOCK_SIZE = 1024 * 1024


class StoredObject(FrozenModel):
    """The key of an object, with the size and hash that verify it."""

    key: str
    size_bytes: int
    sha256: str


class ListedObject(NamedTuple):
    """An object and when it was written, or an incomplete upload with its id and when it was started."""

    key: str
    modified_at: datetime
    upload_id: str | None = None


def compute_link_expiry(now: datetime) -> datetime:
    """Return the expiry of a link that is signed now, which is the same for a whole day (UTC)."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + PRESIGNED_URL_LIFETIME


class FileStorage:
    """One S3 bucket. Errors of S3 and the network are translated to domain errors here."""

    def __init__(self, settings: S3Settings, timeouts: S3Timeouts = WORKER_TIMEOUTS) -> None:
        self._bucket = settings.bucket
        self._client = create_s3_client(settings, settings.endpoint, timeouts)
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

    def delete_prefix(self, prefix: str, *, keep: Callable[[str], bool] = lambda _key: False) -> None:
        """Abort the uploads to this prefix and delete its objects, except those that `keep` selects.

        S3 stores the uploads of killed processes for ever, and no listing of objects shows them.
        """
        listed = [*self.iterate_uploads(prefix), *self.iterate_objects(prefix)]
        self.delete_listed(item for item in listed if not keep(item.key))

    def delete_listed(self, listed: Iterable[ListedObject]) -> None:
        """Abort the listed uploads and delete the listed objects."""
        keys = list[str]()
        for item in listed:
            if item.upload_id is None:
                keys.append(item.key)
            else:
                self._abort_upload(item.key, item.upload_id)
        self.delete(keys)

    def delete(self, keys: Iterable[str]) -> None:
        with translate_s3_errors():
            for error in self._client.remove_objects(self._bucket, map(_to_delete_object, keys)):
                raise ServiceUnavailableError(f"{S3_SERVICE} ({error.code})")

    def list_keys(self, prefix: str) -> list[str]:
        return [item.key for item in self.iterate_objects(prefix)]

    def iterate_objects(self, prefix: str) -> Iterator[ListedObject]:
        """Iterate over the objects, page by page in constant memory."""
        with translate_s3_errors():
            for item in self._client.list_objects(self._bucket, prefix, recursive=True):
                record_step()
                yield ListedObject(item.object_name or "", item.last_modified or datetime.now(UTC))

    def iterate_uploads(self, prefix: str) -> Iterator[ListedObject]:
        """Iterate over the incomplete uploads, page by page in constant memory."""
        key_marker = id_marker = None
        while True:
            with translate_s3_errors():
                page = self._client._list_multipart_uploads(  # noqa: SLF001 - minio has no public method
                    self._bucket, prefix=prefix, key_marker=key_marker, upload_id_marker=id_marker
                )
            for upload in page.uploads:
                yield ListedObject(upload.object_name, upload.initiated_time or datetime.now(UTC), upload.upload_id)
            # minio misspells the attribute. SeaweedFS has no key marker and continues after the upload id alone.
            markers = page.next_key_marker, getattr(page, "self._next_upload_id_marker", None)
            if not page.is_truncated or markers in {(None, None), (key_marker, id_marker)}:
                return
            key_marker, id_marker = markers

    def has_object(self, key: str) -> bool:
        try:
            with translate_s3_errors():
                self._client.stat_object(self._bucket, key)
        except NotFoundError:
            return False
        return True

    def _abort_upload(self, key: str, upload_id: str) -> None:
        with translate_s3_errors():
            try:
                self._client._abort_multipart_upload(self._bucket, key, upload_id)  # noqa: SLF001 - minio has no public method
            except S3Error as error:
                if error.code != "NoSuchUpload":  # completed or aborted meanwhile
                    raise

    def presign_url(self, key: str, file_name: str, now: datetime) -> tuple[str, datetime]:
        """Return an object's URL and its expiry, both constant for a day (UTC), so that polling sees no change."""
        expires_at = compute_link_expiry(now)
        url = self._signer.presigned_get_object(
            self._bucket,
            key,
            expires=PRESIGNED_URL_LIFETIME,
            request_date=expires_at - PRESIGNED_URL_LIFETIME,
            response_headers={"response-content-disposition": f"attachment; filename*=UTF-8''{quote(file_name)}"},
        )
        return url, expires_at

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
