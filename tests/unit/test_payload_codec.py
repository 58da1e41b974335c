"""Sealed payloads: who has the key reads them, and nobody changes or moves them unnoticed."""

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


async def sealed(*keys: CodecKey) -> Payload:
    (payload,) = await codec(*keys).encode([JOB])
    return payload


@given(st.dictionaries(st.text(), st.binary()), st.binary())
async def test_every_payload_comes_back_as_it_was(metadata: dict[str, bytes], data: bytes) -> None:
    payload = Payload(metadata=metadata, data=data)
    (closed,) = await codec(NEW, OLD).encode([payload])
    assert await codec(NEW, OLD).decode([closed]) == [payload]


async def test_a_sealed_payload_shows_its_key_and_nothing_else() -> None:
    payload = await sealed(NEW)
    assert dict(payload.metadata) == {"encoding": ENCODING, KEY_ID: b"2027"}
    assert b"nhf" not in payload.data
    assert payload.data != (await sealed(NEW)).data


async def test_the_first_key_seals_and_all_of_them_open() -> None:
    before, after = await sealed(OLD), await sealed(NEW, OLD)
    assert after.metadata[KEY_ID] == b"2027"
    assert await codec(NEW, OLD).decode([before, JOB, after]) == [JOB, JOB, JOB]


async def test_without_keys_nothing_is_sealed() -> None:
    assert await sealed() == JOB
    assert await codec().decode([JOB]) == [JOB]


@pytest.mark.parametrize("keys", [(), (OLD,)])
async def test_a_key_that_is_missing_is_named_to_whoever_reads_the_log(keys: tuple[CodecKey, ...]) -> None:
    payload = await sealed(NEW)
    with structlog.testing.capture_logs() as said, pytest.raises(MissingCodecKeyError, match="CODEC_KEYS"):
        await codec(*keys).decode([payload])
    assert said == [
        {"event": "codec_key_missing", "log_level": "error", "key": "2027", "held": [key.id for key in keys]}
    ]


def cut(payload: Payload) -> None:
    payload.data = payload.data[:5]


def flip(payload: Payload) -> None:
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])


def relabel(payload: Payload) -> None:
    payload.metadata[KEY_ID] = b"2026"


@pytest.mark.parametrize("change", [cut, flip, relabel, Payload.Clear])
async def test_what_was_changed_is_not_read(change: Change) -> None:
    payload = await sealed(NEW)
    change(payload)
    payload.metadata["encoding"] = ENCODING
    with pytest.raises((DamagedPayloadError, MissingCodecKeyError)):
        await codec(NEW, OLD).decode([payload])


async def test_what_was_sealed_in_another_namespace_is_not_read() -> None:
    with pytest.raises(DamagedPayloadError):
        await codec(NEW, namespace="production").decode([await sealed(NEW)])


async def test_another_key_of_the_same_name_reads_nothing() -> None:
    with pytest.raises(DamagedPayloadError):
        await codec(CodecKey("2027", OLD.secret)).decode([await sealed(NEW)])
