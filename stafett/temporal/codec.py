"""Payload encryption: payloads are encrypted before they leave a process, and decrypted when they are read back.

The first of several AES-256-GCM keys encrypts, all of them decrypt. Unencrypted payloads are passed through.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Any, NoReturn

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    PayloadCodec,
)

from stafett.domain.codec_keys import CodecKey, parse_codec_keys
from stafett.domain.errors import StafettError
from stafett.settings import TemporalSettings

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
_DECRYPTION_ERROR = "decryption-error"  # metadata that never leaves this process
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


class DeferringCodec(EncryptionCodec):
    """Leaves a payload that cannot be decrypted encrypted, with the error; the payload converter raises it.

    A codec that raises fails the whole workflow task, so that one undecodable signal would stop its run for ever.
    """

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decrypt_or_mark(payload) for payload in payloads]

    def _decrypt_or_mark(self, payload: Payload) -> Payload:
        try:
            return self._decrypt(payload)
        except PayloadDecryptionError as error:
            metadata = {**payload.metadata, _DECRYPTION_ERROR: type(error).__name__.encode()}
            return Payload(metadata=metadata, data=payload.data)


class EncryptedPayloadConverter(EncodingPayloadConverter):
    """Raises the error of a payload that is still encrypted when its value is needed."""

    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> None:  # noqa: ARG002 - the SDK's signature
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> NoReturn:  # noqa: ARG002 - the SDK's signature
        is_damaged = payload.metadata.get(_DECRYPTION_ERROR) == DamagedPayloadError.__name__.encode()
        raise DamagedPayloadError if is_damaged else MissingCodecKeyError


class PayloadConverter(PydanticPayloadConverter):
    """Converts Pydantic models, and recognises payloads that could not be decrypted."""

    def __init__(self) -> None:
        super().__init__()
        self._set_converters(*self.converters.values(), EncryptedPayloadConverter())


def codec_from_settings(settings: TemporalSettings) -> EncryptionCodec:
    return EncryptionCodec(_keys_from_settings(settings), settings.namespace)


def _keys_from_settings(settings: TemporalSettings) -> Sequence[CodecKey]:
    return parse_codec_keys(settings.codec_keys.get_secret_value()) if settings.codec_keys else ()


def data_converter_from_settings(settings: TemporalSettings) -> DataConverter:
    """Build the data converter of all clients and workers; it also encrypts failures if there are keys."""
    codec = DeferringCodec(_keys_from_settings(settings), settings.namespace)
    converter = DataConverter(payload_converter_class=PayloadConverter, payload_codec=codec)
    if not codec.is_enabled:
        return converter
    return dataclasses.replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
