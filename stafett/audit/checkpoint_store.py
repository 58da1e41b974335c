"""Storage of checkpoints in an S3 bucket with object lock, where objects cannot be removed or replaced for years.

Overwriting or deleting an object only adds a version. All versions are read, and none takes precedence.
"""

import io
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from minio.retention import Retention

from stafett.audit.chain import CheckpointClaim
from stafett.audit.checkpoint import Checkpoint, InvalidCheckpointError, SigningKey, VerificationKeys
from stafett.domain.errors import ServiceUnavailableError, SettingsError
from stafett.settings import AuditSettings, S3Settings
from stafett.storage.s3 import create_s3_client, translate_s3_errors

_PREFIX = "checkpoints/"
_KEY_PATTERN = re.compile(r"checkpoints/(?P<org_id>[a-z][a-z0-9_-]{0,62})/(?P<seq>\d{20})\.json", re.ASCII)
_MAX_CONCURRENT_READS = 8
_INITIAL_LOOKBACK = 1000


class CheckpointVersion(NamedTuple):
    """One version of a checkpoint's object."""

    org_id: str
    seq: int
    key: str
    version_id: str


class CheckpointStore:
    """The stored checkpoints of all organisations, in the order of their events."""

    def __init__(self, s3: S3Settings, audit: AuditSettings, keys: VerificationKeys) -> None:
        self._bucket = audit.bucket
        self._client = create_s3_client(s3, s3.endpoint)
        self._keys = keys

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing. Object lock can hardly ever be enabled for an existing bucket."""
        with translate_s3_errors():
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket, object_lock=True)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # another worker has created it
                    raise

    def put_checkpoint(self, checkpoint: Checkpoint, signing_key: SigningKey, retained_until: datetime) -> None:
        """Sign the checkpoint, and store it locked until ``retained_until``."""
        content, key = signing_key.sign(checkpoint), f"{_prefix_for(checkpoint.org_id)}{checkpoint.seq:020}.json"
        lock, mime_type = Retention(COMPLIANCE, retained_until), "application/json"
        with translate_s3_errors(), self._require_object_lock():
            self._client.put_object(self._bucket, key, io.BytesIO(content), len(content), mime_type, retention=lock)

    def list_organisations(self) -> list[str]:
        """List the organisations that have at least one checkpoint."""
        with self._translate_read_errors():
            entries = self._client.list_objects(self._bucket, _PREFIX, include_version=True)
            return [(entry.object_name or "").removeprefix(_PREFIX).rstrip("/") for entry in entries if entry.is_dir]

    def load_claims(self, org_id: str) -> list[CheckpointClaim]:
        """Load the claims of all checkpoints of an organisation."""
        return self._read_claims(self._list_versions(org_id))

    def load_newest_claims(self, org_id: str, near_seq: int) -> list[CheckpointClaim]:
        """Load a claim per version of the newest checkpoint, searching backwards from about ``near_seq``."""
        lookback = _INITIAL_LOOKBACK
        while True:
            after_seq = max(near_seq - lookback, 0)
            versions = self._list_versions(org_id, after_seq=after_seq)
            if versions or after_seq == 0:
                return self._read_claims(version for version in versions if version.seq == versions[-1].seq)
            lookback *= 10

    def _list_versions(self, org_id: str, *, after_seq: int = 0) -> list[CheckpointVersion]:
        with self._translate_read_errors():
            entries = self._client.list_objects(
                self._bucket,
                _prefix_for(org_id),
                recursive=True,
                start_after=f"{_prefix_for(org_id)}{after_seq:020}.json",
                include_version=True,
            )
            versions = [
                CheckpointVersion(key["org_id"], int(key["seq"]), key[0], entry.version_id or "")
                for entry in entries
                if not entry.is_delete_marker and (key := _KEY_PATTERN.fullmatch(entry.object_name or ""))
            ]
        return sorted(versions, key=lambda version: version.seq)

    def _read_claims(self, versions: Iterable[CheckpointVersion]) -> list[CheckpointClaim]:
        with ThreadPoolExecutor(_MAX_CONCURRENT_READS, "checkpoint") as executor:
            return list(executor.map(self._read_claim, versions))

    def _read_claim(self, version: CheckpointVersion) -> CheckpointClaim:
        with (
            self._translate_read_errors(),
            self._client.get_object(self._bucket, version.key, version_id=version.version_id) as response,
        ):
            content = response.data
        try:
            checkpoint = self._keys.verify(content)
        except InvalidCheckpointError as error:
            return CheckpointClaim(version.seq, error=f"its checkpoint {error}")
        if (checkpoint.org_id, checkpoint.seq, checkpoint.count) != (version.org_id, version.seq, version.seq):
            return CheckpointClaim(version.seq, error="its checkpoint describes another event")
        return CheckpointClaim(version.seq, checkpoint.hash, checkpoint.at)

    @contextmanager
    def _require_object_lock(self) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if error.code != "InvalidRequest":
                raise
            raise SettingsError(
                f"The bucket {self._bucket} has no object lock, which is required for checkpoints."
            ) from error

    @contextmanager
    def _translate_read_errors(self) -> Iterator[None]:
        try:
            with translate_s3_errors():
                yield
        except ServiceUnavailableError as error:
            raise ServiceUnavailableError(f"The checkpoint bucket {self._bucket}") from error


def _prefix_for(org_id: str) -> str:
    return f"{_PREFIX}{org_id}/"
