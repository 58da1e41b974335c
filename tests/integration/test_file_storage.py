"""What storage keeps, and what is taken out of it."""

from uuid import uuid4

import pytest
from minio import Minio

from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.storage.s3 import create_s3_client


@pytest.fixture
def client(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


def test_an_upload_that_was_broken_off_by_a_kill_goes_with_the_objects_beside_it(
    storage: FileStorage, client: Minio, settings: Settings
) -> None:
    """Begun and never ended, as a worker leaves it that was killed in the middle of a large file."""
    place, bucket = f"exports/{uuid4()}/", settings.s3.bucket
    storage.write(f"{place}part", [b"rows"])
    upload = client._create_multipart_upload(bucket, f"{place}report.xlsx", {})  # noqa: SLF001 - as the library does inside
    client._upload_part(bucket, f"{place}report.xlsx", b"x" * 5_242_880, None, upload, 1)  # noqa: SLF001 - the same
    assert [name for _, name in storage.list_incomplete_uploads(place)] == [f"{place}report.xlsx"]
    storage.delete_prefix(place)
    assert (storage.list_keys(place), storage.list_incomplete_uploads(place)) == ([], [])


def test_what_lies_beside_a_place_is_left_alone(storage: FileStorage) -> None:
    place = f"exports/{uuid4()}"
    storage.write(f"{place}/part", [b"rows"])
    storage.write(f"{place}0/part", [b"rows"])
    storage.delete_prefix(f"{place}/")
    assert storage.list_keys(place) == [f"{place}0/part"]
