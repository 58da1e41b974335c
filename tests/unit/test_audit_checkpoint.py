"""A checkpoint says what was signed, or nothing."""

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
from hypothesis import strategies as some

from stafett.audit.checkpoint import Checkpoint, InvalidCheckpointError, SigningKey, VerificationKeys
from stafett.audit.keys import load_signing_key, load_verification_keys
from stafett.domain.errors import SettingsError
from stafett.settings import AuditSettings

PRIVATE = Ed25519PrivateKey.generate()
KEY = SigningKey(PRIVATE)
OURS = VerificationKeys([KEY.public_key])
SAID = Checkpoint(
    org_id="nhf", seq=7, hash="a" * 64, count=7, at=datetime(2026, 7, 1, 12, 30, tzinfo=UTC), key_id=KEY.id
)


def private_pem(key: Any = PRIVATE) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def body_of(pem: str) -> str:
    return "".join(pem.splitlines()[1:-1])


def test_what_was_signed_comes_back() -> None:
    assert OURS.verify(KEY.sign(SAID)) == SAID


def test_anybody_can_verify_it_without_our_program() -> None:
    stored = json.loads(KEY.sign(SAID))
    signature = base64.b64decode(stored.pop("signature"))
    KEY.public_key.verify(signature, rfc8785.dumps(stored))
    assert stored == {
        "format": "stafett-audit-checkpoint/1",
        "org_id": "nhf",
        "seq": 7,
        "hash": "a" * 64,
        "count": 7,
        "at": "2026-07-01T12:30:00Z",
        "key_id": KEY.id,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 8},
        {"count": 8},
        {"org_id": "hlf"},
        {"hash": "b" * 64},
        {"at": "2026-07-01T12:30:01Z"},
        {"signature": base64.b64encode(b"x" * 64).decode()},
    ],
    ids=str,
)
def test_no_word_of_it_can_be_changed(change: dict[str, object]) -> None:
    forged = json.dumps(json.loads(KEY.sign(SAID)) | change).encode()
    with pytest.raises(InvalidCheckpointError, match="bears a signature that is not valid"):
        OURS.verify(forged)


def test_what_another_key_has_signed_names_the_key() -> None:
    stranger = SigningKey(Ed25519PrivateKey.generate())
    with pytest.raises(InvalidCheckpointError, match=f"names the key {stranger.id}, which we do not know"):
        OURS.verify(stranger.sign(SAID.model_copy(update={"key_id": stranger.id})))
    with pytest.raises(InvalidCheckpointError, match="bears a signature that is not valid"):
        OURS.verify(stranger.sign(SAID))


@given(
    some.binary()
    | some.recursive(some.none() | some.text() | some.floats(), some.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_every_other_content_is_no_checkpoint(content: bytes) -> None:
    with pytest.raises(InvalidCheckpointError, match="is no checkpoint of ours"):
        OURS.verify(content)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"signature": 1}', b'{"signature": "eA=="}', b"\xff"])
def test_odd_content_is_no_checkpoint_either(content: bytes) -> None:
    with pytest.raises(InvalidCheckpointError, match="is no checkpoint of ours"):
        OURS.verify(content)


def test_a_key_is_read_from_a_file_or_from_one_line_of_an_environment(tmp_path: Path) -> None:
    file = tmp_path / "signing.pem"
    file.write_bytes(private_pem())
    for given_as in (
        {"signing_key_file": file},
        {"signing_key": private_pem().decode()},
        {"signing_key": body_of(private_pem().decode())},
    ):
        key = load_signing_key(AuditSettings.model_validate(given_as))
        assert key is not None
        assert key.id == KEY.id
    assert load_signing_key(AuditSettings()) is None


def test_after_a_rotation_the_old_keys_verify_what_they_signed(tmp_path: Path) -> None:
    older, oldest = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())
    file = tmp_path / "verification.pem"
    file.write_text(public_pem(older.public_key) + public_pem(oldest.public_key))
    lines = " ".join(body_of(public_pem(key.public_key)) for key in (older, oldest))
    for retired in ({"verification_keys_file": file}, {"verification_keys": lines}):
        known = load_verification_keys(AuditSettings.model_validate(retired | {"signing_key": private_pem().decode()}))
        for key in (KEY, older, oldest):
            said = SAID.model_copy(update={"key_id": key.id})
            assert known.verify(key.sign(said)) == said
    assert not load_verification_keys(AuditSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "hemmelig",
        "aGVtbWVsaWc=",
        private_pem(generate_private_key(SECP256R1())).decode(),
        public_pem(KEY.public_key),
    ],
    ids=["empty", "words", "base64", "another kind", "public"],
)
def test_what_is_no_key_is_refused_by_its_variable_and_not_repeated(wrong: str) -> None:
    with pytest.raises(SettingsError, match="STAFETT_AUDIT__SIGNING_KEY is not one Ed25519 private key") as told:
        load_signing_key(AuditSettings.model_validate({"signing_key": wrong}))
    assert "hemmelig" not in str(told.value)


@pytest.mark.parametrize("wrong", ["", "hemmelig", private_pem().decode()], ids=["empty", "words", "private"])
def test_what_are_no_public_keys_is_refused_by_its_variable(wrong: str) -> None:
    with pytest.raises(SettingsError, match="STAFETT_AUDIT__VERIFICATION_KEYS is not a row of Ed25519 public keys"):
        load_verification_keys(AuditSettings.model_validate({"verification_keys": wrong}))
