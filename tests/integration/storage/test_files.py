"""Deleting objects and incomplete uploads by prefix."""

from uuid import uuid4

import pytest
from minio import Minio

from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.storage.s3 import create_s3_client


@pytest.fixture
def client(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


def test_deleting_a_prefix_aborts_its_incomplete_uploads(
    storage: FileStorage, client: Minio, settings: Settings
) -> None:
    """A worker that is killed while it writes a large file leaves an upload that is never completed."""
    prefix, bucket = f"exports/{uuid4()}/", settings.s3.bucket
    storage.write(f"{prefix}part", [b"rows"])
    upload = client._create_multipart_upload(bucket, f"{prefix}report.xlsx", {})  # noqa: SLF001 - the library has no public method that stops halfway
    client._upload_part(bucket, f"{prefix}report.xlsx", b"x" * 5_242_880, None, upload, 1)  # noqa: SLF001 - likewise
    assert [upload.key for upload in storage.iterate_uploads(prefix)] == [f"{prefix}report.xlsx"]
    storage.delete_prefix(prefix)
    assert (storage.list_keys(prefix), list(storage.iterate_uploads(prefix))) == ([], [])


def test_deleting_a_prefix_keeps_objects_with_a_longer_prefix(storage: FileStorage) -> None:
    prefix = f"exports/{uuid4()}"
    storage.write(f"{prefix}/part", [b"rows"])
    storage.write(f"{prefix}0/part", [b"rows"])
    storage.delete_prefix(f"{prefix}/")
    assert storage.list_keys(prefix) == [f"{prefix}0/part"]
