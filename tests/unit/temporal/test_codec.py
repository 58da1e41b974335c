"""Encrypted payloads: readable with the key, and protected against changes and moves."""

from collections.abc import Callable

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from stafett.domain.codec_keys import CodecKey
from stafett.temporal.codec import ENCODING, KEY_ID, DamagedPayloadError, EncryptionCodec, MissingCodecKeyError

OLD, NEW = CodecKey("2026", b"\1" * 32), CodecKey("2027", b"\2" * 32)
JOB = Payload(metadata={"encoding": b"json/plain"}, data=b'{"org_id":"nhf"}')
Change = Callable[[Payload], None]


def codec(*keys: CodecKey, namespace: str = "default") -> EncryptionCodec:
    return EncryptionCodec(keys, namespace)


async def encrypt(*keys: CodecKey) -> Payload:
    (payload,) = await codec(*keys).encode([JOB])
    return payload


@given(st.dictionaries(st.text(), st.binary()), st.binary())
async def test_every_payload_is_decrypted_unchanged(metadata: dict[str, bytes], data: bytes) -> None:
    payload = Payload(metadata=metadata, data=data)
    (encrypted,) = await codec(NEW, OLD).encode([payload])
    assert await codec(NEW, OLD).decode([encrypted]) == [payload]


async def test_encrypted_payload_reveals_only_its_key_id() -> None:
    payload = await encrypt(NEW)
    assert dict(payload.metadata) == {"encoding": ENCODING, KEY_ID: b"2027"}
    assert b"nhf" not in payload.data
    assert payload.data != (await encrypt(NEW)).data


async def test_first_key_encrypts_and_every_key_decrypts() -> None:
    before, after = await encrypt(OLD), await encrypt(NEW, OLD)
    assert after.metadata[KEY_ID] == b"2027"
    assert await codec(NEW, OLD).decode([before, JOB, after]) == [JOB, JOB, JOB]


async def test_payloads_are_not_encrypted_without_keys() -> None:
    assert await encrypt() == JOB
    assert await codec().decode([JOB]) == [JOB]


@pytest.mark.parametrize("keys", [(), (OLD,)])
async def test_missing_key_is_named_in_the_log(keys: tuple[CodecKey, ...]) -> None:
    payload = await encrypt(NEW)
    with structlog.testing.capture_logs() as logs, pytest.raises(MissingCodecKeyError, match="CODEC_KEYS"):
        await codec(*keys).decode([payload])
    assert logs == [
        {"event": "codec_key_missing", "log_level": "error", "key": "2027", "known_keys": [key.id for key in keys]}
    ]


def truncate(payload: Payload) -> None:
    payload.data = payload.data[:5]


def flip(payload: Payload) -> None:
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])


def relabel(payload: Payload) -> None:
    payload.metadata[KEY_ID] = b"2026"


@pytest.mark.parametrize("change", [truncate, flip, relabel, Payload.Clear])
async def test_altered_payload_is_rejected(change: Change) -> None:
    payload = await encrypt(NEW)
    change(payload)
    payload.metadata["encoding"] = ENCODING
    with pytest.raises((DamagedPayloadError, MissingCodecKeyError)):
        await codec(NEW, OLD).decode([payload])


async def test_payload_of_another_namespace_is_rejected() -> None:
    with pytest.raises(DamagedPayloadError):
        await codec(NEW, namespace="production").decode([await encrypt(NEW)])


async def test_payload_of_another_key_with_the_same_id_is_rejected() -> None:
    with pytest.raises(DamagedPayloadError):
        await codec(CodecKey("2027", OLD.secret)).decode([await encrypt(NEW)])
