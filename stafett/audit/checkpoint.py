"""Signed checkpoints, which state the length and the last hash of an organisation's chain at a point in time.

The Ed25519 signature covers the canonical JSON (RFC 8785) of all other fields, so that it can be verified years
from now, and without this program.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, Field, ValidationError

from stafett.domain.audit_chain import DeclaredRestore
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel

_KEY_ID_LENGTH = 16
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class InvalidCheckpointError(Exception):
    """A checkpoint is invalid. The text gives the reason, as the predicate of a sentence about "its checkpoint"."""


class Checkpoint(FrozenModel):
    """The signed fields of a checkpoint.

    The events from ``verified_from`` on were verified for this checkpoint, and those before it for earlier ones.
    """

    format: Literal["stafett-audit-checkpoint/1"] = "stafett-audit-checkpoint/1"
    org_id: OrgId
    seq: int = Field(ge=1)
    hash: _Sha256
    count: int = Field(ge=1)
    verified_from: int = Field(ge=1)
    at: AwareDatetime
    key_id: str


class RestoreDeclaration(FrozenModel):
    """The signed fields of a declared restore: event ``seq`` survived, those after it up to ``lost_to`` are lost.

    ``lost_at`` is the time of the newest checkpoint that is no longer valid. Events that no checkpoint covers are lost
    as well, and no record can name them.
    """

    format: Literal["stafett-audit-restore/1"] = "stafett-audit-restore/1"
    org_id: OrgId
    seq: int = Field(ge=0)
    hash: _Sha256
    lost_to: int = Field(ge=1)
    lost_at: AwareDatetime
    at: AwareDatetime
    key_id: str

    def to_declared_restore(self) -> DeclaredRestore:
        return DeclaredRestore(
            org_id=self.org_id, first_lost_seq=self.seq + 1, last_lost_seq=self.lost_to, declared_at=self.at
        )


SignedDocument = TypeVar("SignedDocument", Checkpoint, RestoreDeclaration)


class SigningKey:
    """The private key of the processes that sign checkpoints."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()
        self.id = compute_key_id(self.public_key)

    def sign(self, document: Checkpoint | RestoreDeclaration) -> bytes:
        """Sign the document, and return the JSON to store."""
        fields = document.model_dump(mode="json")
        signature = base64.b64encode(self._private_key.sign(rfc8785.dumps(fields))).decode()
        return rfc8785.dumps(fields | {"signature": signature})


class VerificationKeys:
    """The public keys of all signing keys. Without a former key, its checkpoints could no longer be verified."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {compute_key_id(key): key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def verify(self, content: bytes, document_type: type[SignedDocument]) -> SignedDocument:
        """Parse a stored document, and verify that one of these keys signed it."""
        try:
            fields: dict[str, Any] = json.loads(content)
            signature = base64.b64decode(fields.pop("signature"), validate=True)
            document = document_type.model_validate_json(json.dumps(fields))
            signed = rfc8785.dumps(fields)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ValidationError):
            raise InvalidCheckpointError("is malformed") from None
        key = self._keys.get(document.key_id)
        if key is None:
            raise InvalidCheckpointError(f"names the unknown key {document.key_id[:_KEY_ID_LENGTH]}")
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            raise InvalidCheckpointError("has an invalid signature") from None
        return document


def compute_key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_LENGTH]
