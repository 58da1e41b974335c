"""Generated attachments: the activities that have one, and the upload of their files."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import polars as pl

from stafett.seed.activities import derive_activity_id
from stafett.seed.attachment_files import DISTINCT_FILE_COUNT, build_attachment_file
from stafett.seed.seeded_random import SeededRandom
from stafett.storage.files import FileStorage

_DUPLICATE_NAME_INTERVAL = 40
_MAX_CONCURRENT_UPLOADS = 8


class _SeededAttachment(NamedTuple):
    id: str
    org_id: str
    activity_id: str
    file_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    object_key: str


def generate_attachments(
    rng: SeededRandom, org_id: str, activities_with_attachment: int, activities: int
) -> pl.DataFrame:
    """Give exactly `activities_with_attachment` activities a file, and every fortieth of them two of the same name."""
    carrier = pl.col("carrier")
    # Each file gets a range of activities of its own, so that no activity is drawn twice.
    range_start, range_end = (
        carrier * activities // activities_with_attachment,
        (carrier + 1) * activities // activities_with_attachment,
    )
    copies = pl.when(carrier % _DUPLICATE_NAME_INTERVAL == _DUPLICATE_NAME_INTERVAL - 1).then(2).otherwise(1)
    files = (
        pl.select(carrier=pl.int_range(activities_with_attachment))
        .with_columns(number=carrier, copy=pl.int_ranges(0, copies))
        .with_columns(
            variant=rng.integer_below("file", DISTINCT_FILE_COUNT),
            activity=range_start + rng.integer_below("carrier", range_end - range_start),
        )
        .explode("copy")
        .with_columns(number=carrier * 2 + pl.col("copy"))
    )
    return files.select(
        "variant",
        id=rng.uuid("attachment"),
        org_id=pl.lit(org_id),
        activity_id=derive_activity_id(rng, pl.col("activity")),
    )


def upload_attachments(
    storage: FileStorage, attachments: pl.DataFrame, on_uploaded: Callable[[], None]
) -> pl.DataFrame:
    """Store every file and return the rows for ``attachments``. Repeating a seed overwrites its own files."""

    def store(row: tuple[int, str, str, str]) -> _SeededAttachment:
        variant, attachment_id, org_id, activity = row
        file = build_attachment_file(variant)
        stored = storage.write(f"attachments/{org_id}/{attachment_id}", [file.content], file.mime_type)
        metadata = (file.name, file.mime_type, stored.size_bytes, stored.sha256, stored.key)
        return _SeededAttachment(attachment_id, org_id, activity, *metadata)

    rows = []
    with ThreadPoolExecutor(_MAX_CONCURRENT_UPLOADS) as pool:
        for row in pool.map(store, attachments.iter_rows()):
            rows.append(row)
            on_uploaded()
    return pl.DataFrame(rows, schema=list(_SeededAttachment._fields), orient="row")
