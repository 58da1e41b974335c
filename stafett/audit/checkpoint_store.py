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

from stafett.audit.chain import Sighting
from stafett.audit.checkpoint import Checkpoint, ForgedCheckpointError, SigningKey, VerificationKeys
from stafett.domain.errors import ServiceUnavailableError, SettingsError
from stafett.settings import AuditSettings, S3Settings
from stafett.storage.s3 import client_of, translated

_ROOT = "checkpoints/"
_NAME = re.compile(r"checkpoints/(?P<org_id>[a-z][a-z0-9_-]{0,62})/(?P<seq>\d{20})\.json", re.ASCII)
_AT_ONCE = 8
_LOOK_BACK = 1000


class Stored(NamedTuple):
    """One version of one checkpoint's object."""

    org_id: str
    seq: int
    key: str
    version_id: str


class CheckpointVault:
    """The checkpoints of every organisation, in order of their events."""

    def __init__(self, s3: S3Settings, audit: AuditSettings, keys: VerificationKeys) -> None:
        self._bucket = audit.bucket
        self._client = client_of(s3, s3.endpoint)
        self._keys = keys

    def ensure(self) -> None:
        """Make the bucket if it is missing: S3 lets a bucket lock from its beginning or hardly ever."""
        with translated():
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket, object_lock=True)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # another worker was faster
                    raise

    def put(self, checkpoint: Checkpoint, key: SigningKey, retained_until: datetime) -> None:
        """Sign it and lock it away."""
        content, name = key.seal(checkpoint), f"{_below(checkpoint.org_id)}{checkpoint.seq:020}.json"
        lock, kind = Retention(COMPLIANCE, retained_until), "application/json"
        with translated(), self._refusing_without_lock():
            self._client.put_object(self._bucket, name, io.BytesIO(content), len(content), kind, retention=lock)

    def organisations(self) -> list[str]:
        """Everybody of whom there ever was a checkpoint."""
        with self._reading():
            found = self._client.list_objects(self._bucket, _ROOT, include_version=True)
            return [(one.object_name or "").removeprefix(_ROOT).rstrip("/") for one in found if one.is_dir]

    def all_of(self, org_id: str) -> list[Sighting]:
        """What every checkpoint of an organisation says."""
        return self._sightings(self._versions(org_id))

    def newest_of(self, org_id: str, near: int) -> list[Sighting]:
        """What the newest one says, each of its versions; it is looked for from about this event backwards."""
        reach = _LOOK_BACK
        while True:
            after = max(near - reach, 0)
            found = self._versions(org_id, after=after)
            if found or after == 0:
                return self._sightings(one for one in found if one.seq == found[-1].seq)
            reach *= 10

    def _versions(self, org_id: str, *, after: int = 0) -> list[Stored]:
        with self._reading():
            found = self._client.list_objects(
                self._bucket,
                _below(org_id),
                recursive=True,
                start_after=f"{_below(org_id)}{after:020}.json",
                include_version=True,
            )
            versions = [
                Stored(name["org_id"], int(name["seq"]), name[0], one.version_id or "")
                for one in found
                if not one.is_delete_marker and (name := _NAME.fullmatch(one.object_name or ""))
            ]
        return sorted(versions, key=lambda one: one.seq)

    def _sightings(self, versions: Iterable[Stored]) -> list[Sighting]:
        with ThreadPoolExecutor(_AT_ONCE, "checkpoint") as executor:
            return list(executor.map(self._sighting, versions))

    def _sighting(self, stored: Stored) -> Sighting:
        with self._reading(), self._client.get_object(self._bucket, stored.key, version_id=stored.version_id) as answer:
            content = answer.data
        try:
            checkpoint = self._keys.open(content)
        except ForgedCheckpointError as forged:
            return Sighting(stored.seq, fault=f"its checkpoint {forged}")
        if (checkpoint.org_id, checkpoint.seq, checkpoint.count) != (stored.org_id, stored.seq, stored.seq):
            return Sighting(stored.seq, fault="its checkpoint is about another event")
        return Sighting(stored.seq, checkpoint.hash, checkpoint.at)

    @contextmanager
    def _refusing_without_lock(self) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if error.code != "InvalidRequest":
                raise
            raise SettingsError(
                f"The bucket {self._bucket} does not lock what is put into it; checkpoints need one with object lock."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with translated():
                yield
        except ServiceUnavailableError as error:
            raise ServiceUnavailableError(f"The bucket of the checkpoints, {self._bucket},") from error


def _below(org_id: str) -> str:
    return f"{_ROOT}{org_id}/"
