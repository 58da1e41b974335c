"""Storage of checkpoints in an S3 bucket with object lock, where objects cannot be removed or replaced for years.

Overwriting or deleting an object only adds a version. All versions are read, and none takes precedence.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple, TypeVar

from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from minio.retention import Retention

from stafett.audit.chain import CheckpointClaim, RestoreClaim, select_live_claims
from stafett.audit.checkpoint import (
    Checkpoint,
    InvalidCheckpointError,
    RestoreDeclaration,
    SignedDocument,
    SigningKey,
    VerificationKeys,
)
from stafett.domain.audit_chain import DeclaredRestore
from stafett.domain.errors import ServiceUnavailableError, SettingsError
from stafett.settings import AuditSettings, S3Settings
from stafett.storage.s3 import create_s3_client, translate_s3_errors

_PREFIX, _RESTORE_PREFIX = "checkpoints/", "restores/"
_KEY_PATTERN = re.compile(r"(?:checkpoints|restores)/(?P<org_id>[a-z][a-z0-9_-]{0,62})/(?P<seq>\d{20})\.json", re.ASCII)
_MAX_CONCURRENT_READS = 8
_INITIAL_LOOKBACK = 1000
_Read = TypeVar("_Read")


class ChainClaims(NamedTuple):
    """The claims that a chain must match, and the declared restores that explain why it need not match others."""

    live: list[CheckpointClaim]
    restores: tuple[DeclaredRestore, ...]


class _StoredRestores(NamedTuple):
    valid: list[RestoreClaim]
    invalid: list[CheckpointClaim]


class CheckpointVersion(NamedTuple):
    """One version of the object of a checkpoint, or of a declared restore and the last event that it has lost."""

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
        self._retention = timedelta(days=audit.retention_days)

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

    def put_checkpoint(self, checkpoint: Checkpoint, signing_key: SigningKey) -> None:
        """Sign the checkpoint, and store it locked for the retention period."""
        key = _format_key(_PREFIX, checkpoint.org_id, checkpoint.seq)
        self._put(key, signing_key.sign(checkpoint), checkpoint.at)

    def put_restore(self, declaration: RestoreDeclaration, signing_key: SigningKey) -> None:
        """Sign the declared restore, and store it locked for the retention period."""
        key = _format_key(_RESTORE_PREFIX, declaration.org_id, declaration.lost_to)
        self._put(key, signing_key.sign(declaration), declaration.at)

    def _put(self, key: str, content: bytes, at: datetime) -> None:
        lock, mime_type = Retention(COMPLIANCE, at + self._retention), "application/json"
        with translate_s3_errors(), self._require_object_lock():
            self._client.put_object(self._bucket, key, io.BytesIO(content), len(content), mime_type, retention=lock)

    def list_organisations(self) -> list[str]:
        """List the organisations that have at least one checkpoint."""
        with self._translate_read_errors():
            entries = self._client.list_objects(self._bucket, _PREFIX, include_version=True)
            return [(entry.object_name or "").removeprefix(_PREFIX).rstrip("/") for entry in entries if entry.is_dir]

    def load_claims(self, org_id: str) -> ChainClaims:
        """Load the claims of all checkpoints and declared restores of an organisation."""
        restores = self._load_restores(org_id)
        claims = self._read_all(self._read_claim, self._list_versions(_PREFIX, org_id))
        declared = tuple(
            DeclaredRestore(
                org_id=org_id, first_lost_seq=restore.seq + 1, last_lost_seq=restore.lost_to, declared_at=restore.at
            )
            for restore in restores.valid
        )
        return ChainClaims(select_live_claims([*claims, *restores.invalid], restores.valid), declared)

    def load_newest_claims(self, org_id: str, near_seq: int) -> list[CheckpointClaim]:
        """Load a claim per version of the newest checkpoint, searching backwards from about ``near_seq``.

        Checkpoints of events that a declared restore has lost are passed over.
        """
        restores, lookback = self._load_restores(org_id), _INITIAL_LOOKBACK
        while True:
            after_seq = max(near_seq - lookback, 0)
            versions = self._list_versions(_PREFIX, org_id, after_seq=after_seq)
            claims = self._read_newest_live_claims(versions, restores)
            if claims or after_seq == 0:
                return claims
            lookback *= 10

    def _read_newest_live_claims(
        self, versions: list[CheckpointVersion], restores: _StoredRestores
    ) -> list[CheckpointClaim]:
        others = select_live_claims(restores.invalid, restores.valid)
        for _, group in groupby(reversed(versions), key=lambda version: version.seq):
            claims = select_live_claims(self._read_all(self._read_claim, group), restores.valid)
            if any(claim not in others for claim in claims):
                others = [*others, *claims]
                break
        newest_seq = max((claim.seq for claim in others), default=0)
        return [claim for claim in others if claim.seq == newest_seq]

    def _load_restores(self, org_id: str) -> _StoredRestores:
        stored = self._read_all(self._read_restore, self._list_versions(_RESTORE_PREFIX, org_id))
        return _StoredRestores(
            [restore for restore in stored if isinstance(restore, RestoreClaim)],
            [claim for claim in stored if isinstance(claim, CheckpointClaim)],
        )

    def _list_versions(self, prefix: str, org_id: str, *, after_seq: int = 0) -> list[CheckpointVersion]:
        with self._translate_read_errors():
            entries = self._client.list_objects(
                self._bucket,
                f"{prefix}{org_id}/",
                recursive=True,
                start_after=_format_key(prefix, org_id, after_seq),
                include_version=True,
            )
            versions = [
                CheckpointVersion(key["org_id"], int(key["seq"]), key[0], entry.version_id or "")
                for entry in entries
                if not entry.is_delete_marker and (key := _KEY_PATTERN.fullmatch(entry.object_name or ""))
            ]
        return sorted(versions, key=lambda version: version.seq)

    @staticmethod
    def _read_all(read: Callable[[CheckpointVersion], _Read], versions: Iterable[CheckpointVersion]) -> list[_Read]:
        with ThreadPoolExecutor(_MAX_CONCURRENT_READS, "checkpoint") as executor:
            return list(executor.map(read, versions))

    def _read_claim(self, version: CheckpointVersion) -> CheckpointClaim:
        try:
            checkpoint = self._read_verified(version, Checkpoint)
        except InvalidCheckpointError as error:
            return CheckpointClaim(version.seq, error=f"its checkpoint {error}")
        if (checkpoint.org_id, checkpoint.seq, checkpoint.count) != (version.org_id, version.seq, version.seq):
            return CheckpointClaim(version.seq, error="its checkpoint describes another event")
        return CheckpointClaim(version.seq, checkpoint.hash, checkpoint.at)

    def _read_restore(self, version: CheckpointVersion) -> RestoreClaim | CheckpointClaim:
        try:
            restore = self._read_verified(version, RestoreDeclaration)
        except InvalidCheckpointError as error:
            return CheckpointClaim(version.seq, error=f"the declared restore that lost it {error}")
        if (restore.org_id, restore.lost_to) != (version.org_id, version.seq):
            return CheckpointClaim(version.seq, error="the declared restore that lost it describes another event")
        return RestoreClaim(restore.seq, restore.hash, restore.lost_to, restore.lost_at, restore.at)

    def _read_verified(self, version: CheckpointVersion, document_type: type[SignedDocument]) -> SignedDocument:
        with (
            self._translate_read_errors(),
            self._client.get_object(self._bucket, version.key, version_id=version.version_id) as response,
        ):
            content = response.data
        return self._keys.verify(content, document_type)

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


def _format_key(prefix: str, org_id: str, seq: int) -> str:
    return f"{prefix}{org_id}/{seq:020}.json"
