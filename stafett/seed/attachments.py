"""The attachments of a seeding: which activities carry one, and the upload of their files."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import polars as pl

from stafett.seed.activities import activity_id
from stafett.seed.attachment_files import DISTINCT, attachment_file
from stafett.seed.seeded_random import Chance
from stafett.storage.files import FileStorage

_TWICE_THE_SAME_NAME_ONE_IN = 40
_UPLOADS_AT_ONCE = 8


class _Attachment(NamedTuple):
    id: str
    org_id: str
    activity_id: str
    file_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    object_key: str


def draw_attachments(chance: Chance, org_id: str, carriers: int, activities: int) -> pl.DataFrame:
    """Exactly so many activities carry a file; every fortieth of them carries two of the same name."""
    carrier = pl.col("carrier")
    first, following = carrier * activities // carriers, (carrier + 1) * activities // carriers
    copies = pl.when(carrier % _TWICE_THE_SAME_NAME_ONE_IN == _TWICE_THE_SAME_NAME_ONE_IN - 1).then(2).otherwise(1)
    files = (
        pl.select(carrier=pl.int_range(carriers))
        .with_columns(number=carrier, copy=pl.int_ranges(0, copies))
        .with_columns(
            variant=chance.below("file", DISTINCT), activity=first + chance.below("carrier", following - first)
        )
        .explode("copy")
        .with_columns(number=carrier * 2 + pl.col("copy"))
    )
    return files.select(
        "variant",
        id=chance.uuid("attachment"),
        org_id=pl.lit(org_id),
        activity_id=activity_id(chance, pl.col("activity")),
    )


def upload(storage: FileStorage, drawn: pl.DataFrame, uploaded: Callable[[], None]) -> pl.DataFrame:
    """Store every file and return the rows for ``attachments``; the same seed overwrites its own files."""

    def store(row: tuple[int, str, str, str]) -> _Attachment:
        variant, attachment_id, org_id, activity = row
        file = attachment_file(variant)
        stored = storage.write(f"attachments/{org_id}/{attachment_id}", [file.content], file.mime_type)
        about = (file.name, file.mime_type, stored.size_bytes, stored.sha256, stored.key)
        return _Attachment(attachment_id, org_id, activity, *about)

    rows = []
    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        for row in pool.map(store, drawn.iter_rows()):
            rows.append(row)
            uploaded()
    return pl.DataFrame(rows, schema=list(_Attachment._fields), orient="row")
