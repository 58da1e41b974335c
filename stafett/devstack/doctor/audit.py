"""The doctor looks at the audit trail: is there a place that locks, and is what grows being signed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from stafett.devstack.doctor.check import DoctorCheck
from stafett.settings import AuditSettings

_SUBJECT = "audit bucket"
_CHECKPOINT_PREFIX = "checkpoints/"
# Of each organisation, since when something of its chain is signed by no checkpoint; the last it has is given.
_UNSIGNED_SINCE_SQL: LiteralString = """
SELECT min(e.at) FROM audit_events e LEFT JOIN unnest(%s::text[], %s::bigint[]) AS signed (org_id, seq) USING (org_id)
WHERE e.seq > coalesce(signed.seq, 0)
"""
_S3_ERRORS = (MinioException, urllib3.exceptions.HTTPError, ValueError)


def check_audit_bucket(s3: Minio, database_url: str, audit: AuditSettings, log_hint: str) -> DoctorCheck:
    """Whether it is there, locks what is put into it, and holds a checkpoint of all that is old enough."""
    bucket, within = audit.bucket, timedelta(minutes=2 * audit.checkpoint_minutes)
    try:
        if not s3.bucket_exists(bucket):
            return _failed_check(f"{bucket} is missing, so nothing is signed; `stafett audit checkpoint` makes it.")
        if not _has_object_lock(s3, bucket):
            return _failed_check(f"{bucket} has no object lock, so checkpoints are refused; make it anew with one.")
        since = _load_unsigned_since(database_url, dict(_list_latest_checkpoints(s3, bucket)))
    except _S3_ERRORS:
        return _failed_check(f"S3 does not say how {bucket} is kept; {log_hint}.")
    except psycopg.Error:
        return _failed_check(f"PostgreSQL does not show the audit trail; {log_hint}.")
    if since is not None and datetime.now(UTC) - since > within:
        told = f"What happened since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} is not signed"
        return _failed_check(f"{told}; see why the schedule checkpoint-audit-chains does not sign it, or {log_hint}.")
    sentence = f"{bucket} is there and locks; all that is older than {within.seconds // 60} minutes is signed."
    return DoctorCheck(_SUBJECT, ok=True, message=sentence)


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
    """Of each organisation its last checkpoint, which is named after the event that it knows."""
    for key in sorted(one.object_name or "" for one in s3.list_objects(bucket, _CHECKPOINT_PREFIX, recursive=True)):
        _, org_id, name = key.split("/")
        yield org_id, int(name.removesuffix(".json"))


def _load_unsigned_since(database_url: str, signed_seqs: dict[str, int]) -> datetime | None:
    with psycopg.connect(database_url, connect_timeout=3) as connection:
        found = connection.execute(_UNSIGNED_SINCE_SQL, [list(signed_seqs), list(signed_seqs.values())]).fetchone()
    return found[0] if found else None
