"""What the engine is told is sealed before it leaves a process of ours, and opened when it comes back.

One AES-256-GCM key of several seals, all of them open. What was never sealed is taken as it is.
"""

import dataclasses
import secrets
from collections.abc import Sequence

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from stafett.domain.codec_keys import CodecKey, parse_codec_keys
from stafett.domain.errors import StafettError
from stafett.settings import TemporalSettings

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
_NONCE_BYTES = 12
_log = structlog.get_logger("stafett.codec")


class PayloadDecryptionError(StafettError):
    """A payload is sealed and cannot be opened."""


class MissingCodecKeyError(PayloadDecryptionError):
    """Its key is not among ours; the engine shows operators this name where the message is sealed itself."""

    def __init__(self) -> None:
        super().__init__("A payload was sealed with a key that STAFETT_TEMPORAL__CODEC_KEYS does not name here.")


class DamagedPayloadError(PayloadDecryptionError):
    """It has our key's name, and other bytes than we sealed, or another key, or another namespace."""

    def __init__(self) -> None:
        super().__init__("A payload is not as it was sealed, or its key is another one under the same name.")


class EncryptionCodec(PayloadCodec):
    """Without keys it seals nothing; it still knows a sealed payload when it sees one."""

    def __init__(self, keys: Sequence[CodecKey], namespace: str) -> None:
        self._encryption_key_id = keys[0].id if keys else None
        self._ciphers = {key.id: AESGCM(key.secret) for key in keys}
        self._namespace = namespace

    @property
    def is_enabled(self) -> bool:
        return self._encryption_key_id is not None

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal them, metadata included."""
        if self._encryption_key_id is None:
            return list(payloads)
        return [self._encrypt(payload, self._encryption_key_id) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open those that are sealed."""
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload, key_id: str) -> Payload:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = nonce + self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), self._associated_data(key_id))
        return Payload(metadata={"encoding": ENCODING, KEY_ID: key_id.encode()}, data=data)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            _log.error("codec_key_missing", key=key_id[:64], held=list(self._ciphers))
            raise MissingCodecKeyError
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, self._associated_data(key_id)))
        except (InvalidTag, ValueError, DecodeError):
            _log.error("payload_damaged", key=key_id)
            raise DamagedPayloadError from None

    def _associated_data(self, key_id: str) -> bytes:
        """No more than the Web UI tells: it asks for payloads by themselves, and names a namespace but no run."""
        return b"\0".join((ENCODING, self._namespace.encode(), key_id.encode()))


def codec_from_settings(settings: TemporalSettings) -> EncryptionCodec:
    keys = parse_codec_keys(settings.codec_keys.get_secret_value()) if settings.codec_keys else ()
    return EncryptionCodec(keys, settings.namespace)


def data_converter_from_settings(settings: TemporalSettings) -> DataConverter:
    """The one way in which every client and worker of ours speaks to the engine."""
    codec = codec_from_settings(settings)
    converter = dataclasses.replace(pydantic_data_converter, payload_codec=codec)
    if not codec.is_enabled:
        return converter
    return dataclasses.replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
