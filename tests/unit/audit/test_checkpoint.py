"""Signed checkpoints: verification returns exactly what was signed, or fails."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from stafett.audit.checkpoint import (
    Checkpoint,
    InvalidCheckpointError,
    RestoreDeclaration,
    SigningKey,
    VerificationKeys,
)
from stafett.audit.keys import load_signing_key, load_verification_keys
from stafett.domain.errors import SettingsError
from stafett.settings import AuditSettings

PRIVATE_KEY = Ed25519PrivateKey.generate()
KEY = SigningKey(PRIVATE_KEY)
KEYS = VerificationKeys([KEY.public_key])
CHECKPOINT = Checkpoint(
    org_id="nhf",
    seq=7,
    hash="a" * 64,
    count=7,
    verified_from=5,
    at=datetime(2026, 7, 1, 12, 30, tzinfo=UTC),
    key_id=KEY.id,
)


def to_private_pem(key: Any = PRIVATE_KEY) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def to_public_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def strip_pem_header(pem: str) -> str:
    return "".join(pem.splitlines()[1:-1])


def test_verification_returns_the_signed_checkpoint() -> None:
    assert KEYS.verify(KEY.sign(CHECKPOINT), Checkpoint) == CHECKPOINT


def test_checkpoint_can_be_verified_without_our_program() -> None:
    stored = json.loads(KEY.sign(CHECKPOINT))
    signature = base64.b64decode(stored.pop("signature"))
    KEY.public_key.verify(signature, rfc8785.dumps(stored))
    assert stored == {
        "format": "stafett-audit-checkpoint/1",
        "org_id": "nhf",
        "seq": 7,
        "hash": "a" * 64,
        "count": 7,
        "verified_from": 5,
        "at": "2026-07-01T12:30:00Z",
        "key_id": KEY.id,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 8},
        {"count": 8},
        {"verified_from": 1},
        {"org_id": "hlf"},
        {"hash": "b" * 64},
        {"at": "2026-07-01T12:30:01Z"},
        {"signature": base64.b64encode(b"x" * 64).decode()},
    ],
    ids=str,
)
def test_every_change_of_a_signed_field_is_rejected(change: dict[str, object]) -> None:
    forged = json.dumps(json.loads(KEY.sign(CHECKPOINT)) | change).encode()
    with pytest.raises(InvalidCheckpointError, match="has an invalid signature"):
        KEYS.verify(forged, Checkpoint)


def test_checkpoint_of_another_key_is_rejected_and_the_key_named() -> None:
    unknown = SigningKey(Ed25519PrivateKey.generate())
    with pytest.raises(InvalidCheckpointError, match=f"names the unknown key {unknown.id}"):
        KEYS.verify(unknown.sign(CHECKPOINT.model_copy(update={"key_id": unknown.id})), Checkpoint)
    with pytest.raises(InvalidCheckpointError, match="has an invalid signature"):
        KEYS.verify(unknown.sign(CHECKPOINT), Checkpoint)


def test_declared_restore_is_signed_and_no_checkpoint() -> None:
    restore = RestoreDeclaration(
        org_id="nhf", seq=0, hash="0" * 64, lost_to=7, lost_at=CHECKPOINT.at, at=CHECKPOINT.at, key_id=KEY.id
    )
    assert KEYS.verify(KEY.sign(restore), RestoreDeclaration) == restore
    with pytest.raises(InvalidCheckpointError, match="is malformed"):
        KEYS.verify(KEY.sign(restore), Checkpoint)
    with pytest.raises(InvalidCheckpointError, match="is malformed"):
        KEYS.verify(KEY.sign(CHECKPOINT), RestoreDeclaration)


@given(
    st.binary()
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_arbitrary_content_is_rejected_as_malformed(content: bytes) -> None:
    with pytest.raises(InvalidCheckpointError, match="is malformed"):
        KEYS.verify(content, Checkpoint)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"signature": 1}', b'{"signature": "eA=="}', b"\xff"])
def test_crafted_content_is_rejected_as_malformed(content: bytes) -> None:
    with pytest.raises(InvalidCheckpointError, match="is malformed"):
        KEYS.verify(content, Checkpoint)


def test_signing_key_is_loaded_from_a_file_or_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "signing.pem"
    file.write_bytes(to_private_pem())
    for variables in (
        {"signing_key_file": file},
        {"signing_key": to_private_pem().decode()},
        {"signing_key": strip_pem_header(to_private_pem().decode())},
    ):
        key = load_signing_key(AuditSettings.model_validate(variables))
        assert key is not None
        assert key.id == KEY.id
    assert load_signing_key(AuditSettings()) is None


def test_retired_keys_verify_old_checkpoints_after_a_rotation(tmp_path: Path) -> None:
    older, oldest = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())
    file = tmp_path / "verification.pem"
    file.write_text(to_public_pem(older.public_key) + to_public_pem(oldest.public_key))
    lines = " ".join(strip_pem_header(to_public_pem(key.public_key)) for key in (older, oldest))
    for retired in ({"verification_keys_file": file}, {"verification_keys": lines}):
        keys = load_verification_keys(
            AuditSettings.model_validate(retired | {"signing_key": to_private_pem().decode()})
        )
        for key in (KEY, older, oldest):
            checkpoint = CHECKPOINT.model_copy(update={"key_id": key.id})
            assert keys.verify(key.sign(checkpoint), Checkpoint) == checkpoint
    assert not load_verification_keys(AuditSettings())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "hemmelig",
        "aGVtbWVsaWc=",
        to_private_pem(generate_private_key(SECP256R1())).decode(),
        to_public_pem(KEY.public_key),
    ],
    ids=["empty", "text", "base64", "other-algorithm", "public-key"],
)
def test_invalid_signing_key_is_rejected_without_repeating_it(value: str) -> None:
    with pytest.raises(SettingsError, match="STAFETT_AUDIT__SIGNING_KEY must be one Ed25519 private key") as error:
        load_signing_key(AuditSettings.model_validate({"signing_key": value}))
    assert "hemmelig" not in str(error.value)


@pytest.mark.parametrize("value", ["", "hemmelig", to_private_pem().decode()], ids=["empty", "text", "private-key"])
def test_invalid_verification_keys_are_rejected_by_their_variable(value: str) -> None:
    with pytest.raises(SettingsError, match="STAFETT_AUDIT__VERIFICATION_KEYS must be a list of Ed25519 public keys"):
        load_verification_keys(AuditSettings.model_validate({"verification_keys": value}))
