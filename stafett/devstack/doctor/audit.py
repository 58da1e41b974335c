"""The doctor's check of the audit trail: the bucket has object lock, and recent events are signed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from stafett.devstack.doctor import DoctorCheck
from stafett.settings import AuditSettings

_SUBJECT = "audit bucket"
_CHECKPOINT_PREFIX = "checkpoints/"
# The time of the oldest event that no checkpoint has signed; the parameters are each organisation's last signed seq.
_UNSIGNED_SINCE_SQL: LiteralString = """
SELECT min(e.at) FROM audit_events e LEFT JOIN unnest(%s::text[], %s::bigint[]) AS signed (org_id, seq) USING (org_id)
WHERE e.seq > coalesce(signed.seq, 0)
"""
_S3_ERRORS = (MinioException, urllib3.exceptions.HTTPError, ValueError)


def check_audit_bucket(s3: Minio, database_url: str, audit: AuditSettings, log_hint: str) -> DoctorCheck:
    """Check that the bucket exists and has object lock, and that every event that is old enough is signed."""
    bucket, max_age = audit.bucket, timedelta(minutes=2 * audit.checkpoint_minutes)
    try:
        if not s3.bucket_exists(bucket):
            return _failed_check(f"{bucket} is missing, so nothing is signed; `stafett audit checkpoint` creates it.")
        if not _has_object_lock(s3, bucket):
            return _failed_check(
                f"{bucket} has no object lock, so checkpoints are rejected; recreate it with object lock."
            )
        since = _load_unsigned_since(database_url, dict(_list_latest_checkpoints(s3, bucket)))
    except _S3_ERRORS:
        return _failed_check(f"S3 did not answer for bucket {bucket}; {log_hint}.")
    except psycopg.Error:
        return _failed_check(f"The audit trail cannot be read from PostgreSQL; {log_hint}.")
    if since is not None and datetime.now(UTC) - since > max_age:
        problem = f"The audit trail since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} is not signed"
        return _failed_check(f"{problem}; check the schedule checkpoint-audit-chains, or {log_hint}.")
    message = f"{bucket} exists and has object lock; every event older than {max_age.seconds // 60} minutes is signed."
    return DoctorCheck(_SUBJECT, ok=True, message=message)


def _failed_check(message: str) -> DoctorCheck:
    return DoctorCheck(_SUBJECT, ok=False, message=message)


def _has_object_lock(s3: Minio, bucket: str) -> bool:
    try:
        s3.get_object_lock_config(bucket)
    except S3Error as error:
        if error.code == "ObjectLockConfigurationNotFoundError":
            return False
        raise
    return True


def _list_latest_checkpoints(s3: Minio, bucket: str) -> Iterator[tuple[str, int]]:
    """Yield the organisation and the signed seq of every checkpoint's key, the latest of each organisation last."""
    for key in sorted(item.object_name or "" for item in s3.list_objects(bucket, _CHECKPOINT_PREFIX, recursive=True)):
        _, org_id, name = key.split("/")
        yield org_id, int(name.removesuffix(".json"))


def _load_unsigned_since(database_url: str, signed_seqs: dict[str, int]) -> datetime | None:
    with psycopg.connect(database_url, connect_timeout=3) as connection:
        row = connection.execute(_UNSIGNED_SINCE_SQL, [list(signed_seqs), list(signed_seqs.values())]).fetchone()
    return row[0] if row else None
