"""Payload encryption: payloads are encrypted before they leave a process, and decrypted when they are read back.

The first of several AES-256-GCM keys encrypts, all of them decrypt. Unencrypted payloads are passed through.
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
    """An encrypted payload cannot be decrypted."""


class MissingCodecKeyError(PayloadDecryptionError):
    """The payload's key is not configured here. Operators see this class name in Temporal; the message is encrypted."""

    def __init__(self) -> None:
        super().__init__("A payload was encrypted with a key that STAFETT_TEMPORAL__CODEC_KEYS does not contain here.")


class DamagedPayloadError(PayloadDecryptionError):
    """The payload names a configured key, but its bytes, its key or its namespace are different ones."""

    def __init__(self) -> None:
        super().__init__("A payload is damaged, or was encrypted with another key of the same name.")


class EncryptionCodec(PayloadCodec):
    """Encrypts and decrypts payloads; without keys it encrypts nothing, and rejects encrypted payloads."""

    def __init__(self, keys: Sequence[CodecKey], namespace: str) -> None:
        self._encryption_key_id = keys[0].id if keys else None
        self._ciphers = {key.id: AESGCM(key.secret) for key in keys}
        self._namespace = namespace

    @property
    def is_enabled(self) -> bool:
        return self._encryption_key_id is not None

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt the payloads, metadata included."""
        if self._encryption_key_id is None:
            return list(payloads)
        return [self._encrypt(payload, self._encryption_key_id) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt the encrypted payloads."""
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
            _log.error("codec_key_missing", key=key_id[:64], known_keys=list(self._ciphers))
            raise MissingCodecKeyError
        nonce, ciphertext = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, ciphertext, self._associated_data(key_id)))
        except (InvalidTag, ValueError, DecodeError):
            _log.error("payload_damaged", key=key_id)
            raise DamagedPayloadError from None

    def _associated_data(self, key_id: str) -> bytes:
        """Bind the payload to its namespace and key; the Web UI sends no run id when it has payloads decoded."""
        return b"\0".join((ENCODING, self._namespace.encode(), key_id.encode()))


def codec_from_settings(settings: TemporalSettings) -> EncryptionCodec:
    keys = parse_codec_keys(settings.codec_keys.get_secret_value()) if settings.codec_keys else ()
    return EncryptionCodec(keys, settings.namespace)


def data_converter_from_settings(settings: TemporalSettings) -> DataConverter:
    """Build the data converter of all clients and workers; it also encrypts failures if there are keys."""
    codec = codec_from_settings(settings)
    converter = dataclasses.replace(pydantic_data_converter, payload_codec=codec)
    if not codec.is_enabled:
        return converter
    return dataclasses.replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
