"""Signed checkpoints, which state the length and the last hash of an organisation's chain at a point in time.

The Ed25519 signature covers the canonical JSON (RFC 8785) of all other fields, so that it can be verified years
from now, and without this program.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, Field, ValidationError

from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel

_KEY_ID_LENGTH = 16


class InvalidCheckpointError(Exception):
    """A checkpoint is invalid. The text gives the reason, as the predicate of a sentence about "its checkpoint"."""


class Checkpoint(FrozenModel):
    """The signed fields of a checkpoint."""

    format: Literal["stafett-audit-checkpoint/1"] = "stafett-audit-checkpoint/1"
    org_id: OrgId
    seq: int = Field(ge=1)
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    count: int = Field(ge=1)
    at: AwareDatetime
    key_id: str


class SigningKey:
    """The private key of the processes that sign checkpoints."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()
        self.id = compute_key_id(self.public_key)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Sign the checkpoint, and return the JSON to store."""
        fields = checkpoint.model_dump(mode="json")
        signature = base64.b64encode(self._private_key.sign(rfc8785.dumps(fields))).decode()
        return rfc8785.dumps(fields | {"signature": signature})


class VerificationKeys:
    """The public keys of all signing keys. Without a former key, its checkpoints could no longer be verified."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {compute_key_id(key): key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def verify(self, content: bytes) -> Checkpoint:
        """Parse a stored checkpoint, and verify that one of these keys signed it."""
        try:
            fields: dict[str, Any] = json.loads(content)
            signature = base64.b64decode(fields.pop("signature"), validate=True)
            checkpoint = Checkpoint.model_validate_json(json.dumps(fields))
            signed = rfc8785.dumps(fields)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ValidationError):
            raise InvalidCheckpointError("is malformed") from None
        key = self._keys.get(checkpoint.key_id)
        if key is None:
            raise InvalidCheckpointError(f"names the unknown key {checkpoint.key_id[:_KEY_ID_LENGTH]}")
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            raise InvalidCheckpointError("has an invalid signature") from None
        return checkpoint


def compute_key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_LENGTH]
