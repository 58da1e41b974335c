"""Activities as the stages of an export hand them on: one schema, one form on disk."""

import io

import polars as pl

OSLO_DAY = "oslo_day"

SOURCE_SCHEMA = pl.Schema(
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
        "is_proxy": pl.String(),
        "registered_by": pl.String(),
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
"""The attachments of staged activities; ``row`` is the activity's own, in query order."""

_INSTANTS = ("starts_at", "ends_at")
_FLAGS = ("in_person", "in_norway", "is_proxy")


def from_copy(records: bytes, rows: int) -> pl.DataFrame:
    """What ``COPY`` sent, every record of it."""
    frame = _read(records, rows, SOURCE_SCHEMA)
    return frame.with_columns(pl.col(_INSTANTS).cast(pl.Datetime("us", "UTC")), pl.col(_FLAGS) == "t").rechunk()


def attachments_from_copy(records: bytes, rows: int) -> pl.DataFrame:
    """The same for attachments."""
    return _read(records, rows, ATTACHMENT_SCHEMA) if rows else ATTACHMENT_SCHEMA.to_frame()


def _read(records: bytes, rows: int, schema: pl.Schema) -> pl.DataFrame:
    frame = pl.read_csv(io.BytesIO(records), has_header=False, schema=schema)
    if frame.height != rows:
        raise RuntimeError(f"{rows} records were sent and {frame.height} rows were read")
    return frame


def to_arrow(frame: pl.DataFrame) -> bytes:
    """A part as it is staged: Arrow IPC, compressed, the same bytes for the same rows."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def activities_from_arrow(staged: bytes) -> pl.DataFrame:
    """A part of a snapshot; one that was taken before we kept who had registered an activity does not know it."""
    frame = from_arrow(staged)
    known = pl.col("registered_by") if "registered_by" in frame.columns else pl.lit(None, pl.String)
    return frame.with_columns(known.alias("registered_by"))


def from_arrow(staged: bytes) -> pl.DataFrame:
    return pl.read_ipc(io.BytesIO(staged))
