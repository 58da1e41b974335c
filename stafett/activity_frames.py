"""Polars frames of staged activities and attachments: their schemas and their Arrow format in storage."""

import io
from collections.abc import Iterator

import polars as pl
import polars.selectors as cs

OSLO_DAY = "oslo_day"

ACTIVITY_SCHEMA = pl.Schema(
    {
        OSLO_DAY: pl.Date(),
        "id": pl.String(),
        "activity_type": pl.String(),
        "starts_at": pl.Int64(),
        "ends_at": pl.Int64(),
        "participants": pl.Int64(),
        "new_participants": pl.Int64(),
        "place": pl.String(),
        "in_person": pl.String(),
        "in_norway": pl.String(),
        "note": pl.String(),
        "mentor_id": pl.String(),
        "mentor_name": pl.String(),
        "branch": pl.String(),
        "is_proxy": pl.String(),
        "registered_by": pl.String(),
        "event_id": pl.String(),
        "attachments": pl.Int64(),
    }
)
ATTACHMENT_SCHEMA = pl.Schema(
    {
        "row": pl.Int64(),
        "activity_id": pl.String(),
        OSLO_DAY: pl.Date(),
        "attachment_id": pl.String(),
        "file_name": pl.String(),
        "mime_type": pl.String(),
        "size_bytes": pl.Int64(),
        "sha256": pl.String(),
        "object_key": pl.String(),
    }
)
"""The attachments of staged activities; ``row`` is the index of the activity in query order."""

_MAX_SLICE_ROWS, _MAX_SLICE_BYTES = 5_000, 4 * 1024 * 1024
_TIMESTAMP_COLUMNS = ("starts_at", "ends_at")
_BOOLEAN_COLUMNS = ("in_person", "in_norway", "is_proxy")
_LATER_COLUMNS = ("registered_by", "branch", "event_id")


def activities_from_copy(records: bytes, row_count: int) -> pl.DataFrame:
    """Parse the CSV records of a ``COPY``; fail if the number of rows differs."""
    frame = _parse_csv(records, row_count, ACTIVITY_SCHEMA)
    return frame.with_columns(
        pl.col(_TIMESTAMP_COLUMNS).cast(pl.Datetime("us", "UTC")), pl.col(_BOOLEAN_COLUMNS) == "t"
    ).rechunk()


def attachments_from_copy(records: bytes, row_count: int) -> pl.DataFrame:
    return _parse_csv(records, row_count, ATTACHMENT_SCHEMA) if row_count else ATTACHMENT_SCHEMA.to_frame()


def _parse_csv(records: bytes, row_count: int, schema: pl.Schema) -> pl.DataFrame:
    frame = pl.read_csv(io.BytesIO(records), has_header=False, schema=schema)
    if frame.height != row_count:
        raise RuntimeError(f"COPY returned {row_count} records, but {frame.height} rows were parsed")
    return frame


def arrow_from_frame(frame: pl.DataFrame) -> bytes:
    """Serialise a frame as compressed Arrow IPC; the same rows give the same bytes."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def activities_from_arrow(content: bytes) -> pl.DataFrame:
    """Read a part of a snapshot; snapshots of earlier releases lack some of the columns."""
    frame = frame_from_arrow(content)
    missing = (name for name in _LATER_COLUMNS if name not in frame.columns)
    return frame.with_columns(pl.lit(None, pl.String).alias(name) for name in missing)


def frame_from_arrow(content: bytes) -> pl.DataFrame:
    return pl.read_ipc(io.BytesIO(content))


def cut_into_slices(row_bytes: pl.Series, max_bytes: int, max_rows: int | None = None) -> Iterator[slice]:
    """Yield consecutive slices of rows that have at most ``max_bytes`` together; each has at least one row."""
    first, total = 0, row_bytes.cum_sum()
    while first < total.len():
        before = total[first - 1] if first else 0
        last = max(first + 1, int(total.search_sorted(before + max_bytes, side="right")))
        last = min(last, first + max_rows) if max_rows else last
        yield slice(first, last)
        first = last


def count_text_bytes(frame: pl.DataFrame) -> pl.Series:
    """Return the bytes of all texts of each row."""
    lengths = cs.string().str.len_bytes().fill_null(0).cast(pl.Int64)
    return frame.select(pl.sum_horizontal(pl.repeat(0, pl.len(), dtype=pl.Int64), lengths)).to_series()


def iterate_small_slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield slices whose text fits into memory several times."""
    for positions in cut_into_slices(count_text_bytes(frame), _MAX_SLICE_BYTES, _MAX_SLICE_ROWS):
        yield frame[positions]
