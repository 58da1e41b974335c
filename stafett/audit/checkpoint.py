"""A checkpoint: at this time, this organisation's chain was that long and ended with this hash; signed.

The signature is Ed25519's over the canonical JSON (RFC 8785) of everything else in the object, so that it can be
verified years from now, without any program of ours.
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
    """It was not signed by us; the text says why, to follow "its checkpoint"."""


class Checkpoint(FrozenModel):
    """What is signed."""

    format: Literal["stafett-audit-checkpoint/1"] = "stafett-audit-checkpoint/1"
    org_id: OrgId
    seq: int = Field(ge=1)
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    count: int = Field(ge=1)
    at: AwareDatetime
    key_id: str


class SigningKey:
    """Only who writes checkpoints has it."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()
        self.id = compute_key_id(self.public_key)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as it is stored."""
        said = checkpoint.model_dump(mode="json")
        signature = base64.b64encode(self._private_key.sign(rfc8785.dumps(said))).decode()
        return rfc8785.dumps(said | {"signature": signature})


class VerificationKeys:
    """Every public key that ever signed: an old one stays, or what it signed could not be verified any more."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {compute_key_id(key): key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def verify(self, content: bytes) -> Checkpoint:
        """What a stored checkpoint says, if one of these keys has signed it."""
        try:
            said: dict[str, Any] = json.loads(content)
            signature = base64.b64decode(said.pop("signature"), validate=True)
            checkpoint = Checkpoint.model_validate_json(json.dumps(said))
            signed = rfc8785.dumps(said)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ValidationError):
            raise InvalidCheckpointError("is no checkpoint of ours") from None
        key = self._keys.get(checkpoint.key_id)
        if key is None:
            raise InvalidCheckpointError(f"names the key {checkpoint.key_id[:_KEY_ID_LENGTH]}, which we do not know")
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            raise InvalidCheckpointError("bears a signature that is not valid") from None
        return checkpoint


def compute_key_id(key: Ed25519PublicKey) -> str:
    """The beginning of the SHA-256 of the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_LENGTH]
