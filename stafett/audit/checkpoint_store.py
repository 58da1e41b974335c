"""Where checkpoints lie: a bucket with object lock, in which nobody removes or replaces anything for years.

A second object under a name, or a deletion, only adds a version. Every version is read, and none is believed more.
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
    """One version of one checkpoint's object."""

    org_id: str
    seq: int
    key: str
    version_id: str


class CheckpointStore:
    """The checkpoints of every organisation, in order of their events."""

    def __init__(self, s3: S3Settings, audit: AuditSettings, keys: VerificationKeys) -> None:
        self._bucket = audit.bucket
        self._client = create_s3_client(s3, s3.endpoint)
        self._keys = keys

    def ensure_bucket(self) -> None:
        """Make the bucket if it is missing: S3 lets a bucket lock from its beginning or hardly ever."""
        with translate_s3_errors():
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket, object_lock=True)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # another worker was faster
                    raise

    def put_checkpoint(self, checkpoint: Checkpoint, signing_key: SigningKey, retained_until: datetime) -> None:
        """Sign it and lock it away."""
        content, name = signing_key.sign(checkpoint), f"{_prefix_for(checkpoint.org_id)}{checkpoint.seq:020}.json"
        lock, kind = Retention(COMPLIANCE, retained_until), "application/json"
        with translate_s3_errors(), self._require_object_lock():
            self._client.put_object(self._bucket, name, io.BytesIO(content), len(content), kind, retention=lock)

    def list_organisations(self) -> list[str]:
        """Everybody of whom there ever was a checkpoint."""
        with self._translate_read_errors():
            found = self._client.list_objects(self._bucket, _PREFIX, include_version=True)
            return [(one.object_name or "").removeprefix(_PREFIX).rstrip("/") for one in found if one.is_dir]

    def load_claims(self, org_id: str) -> list[CheckpointClaim]:
        """What every checkpoint of an organisation says."""
        return self._read_claims(self._list_versions(org_id))

    def load_newest_claims(self, org_id: str, near_seq: int) -> list[CheckpointClaim]:
        """What the newest one says, each of its versions; it is looked for from about this event backwards."""
        reach = _INITIAL_LOOKBACK
        while True:
            after = max(near_seq - reach, 0)
            found = self._list_versions(org_id, after_seq=after)
            if found or after == 0:
                return self._read_claims(one for one in found if one.seq == found[-1].seq)
            reach *= 10

    def _list_versions(self, org_id: str, *, after_seq: int = 0) -> list[CheckpointVersion]:
        with self._translate_read_errors():
            found = self._client.list_objects(
                self._bucket,
                _prefix_for(org_id),
                recursive=True,
                start_after=f"{_prefix_for(org_id)}{after_seq:020}.json",
                include_version=True,
            )
            versions = [
                CheckpointVersion(name["org_id"], int(name["seq"]), name[0], one.version_id or "")
                for one in found
                if not one.is_delete_marker and (name := _KEY_PATTERN.fullmatch(one.object_name or ""))
            ]
        return sorted(versions, key=lambda one: one.seq)

    def _read_claims(self, versions: Iterable[CheckpointVersion]) -> list[CheckpointClaim]:
        with ThreadPoolExecutor(_MAX_CONCURRENT_READS, "checkpoint") as executor:
            return list(executor.map(self._read_claim, versions))

    def _read_claim(self, version: CheckpointVersion) -> CheckpointClaim:
        with (
            self._translate_read_errors(),
            self._client.get_object(self._bucket, version.key, version_id=version.version_id) as answer,
        ):
            content = answer.data
        try:
            checkpoint = self._keys.verify(content)
        except InvalidCheckpointError as forged:
            return CheckpointClaim(version.seq, error=f"its checkpoint {forged}")
        if (checkpoint.org_id, checkpoint.seq, checkpoint.count) != (version.org_id, version.seq, version.seq):
            return CheckpointClaim(version.seq, error="its checkpoint is about another event")
        return CheckpointClaim(version.seq, checkpoint.hash, checkpoint.at)

    @contextmanager
    def _require_object_lock(self) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if error.code != "InvalidRequest":
                raise
            raise SettingsError(
                f"The bucket {self._bucket} does not lock what is put into it; checkpoints need one with object lock."
            ) from error

    @contextmanager
    def _translate_read_errors(self) -> Iterator[None]:
        try:
            with translate_s3_errors():
                yield
        except ServiceUnavailableError as error:
            raise ServiceUnavailableError(f"The bucket of the checkpoints, {self._bucket},") from error


def _prefix_for(org_id: str) -> str:
    return f"{_PREFIX}{org_id}/"
