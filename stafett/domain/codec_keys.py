"""Keys for payload encryption. Each has an id, so that keys can be rotated."""

import base64
import re
from dataclasses import dataclass, field

_KEY_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_KEY_BYTES = 32
_FORMAT_ERROR = (
    "expected keys with unique ids, the encryption key first, such as 2027:KEY,2026:KEY;"
    " a key is 32 bytes in base64 (openssl rand -base64 32)"
)


@dataclass(frozen=True)
class CodecKey:
    """An AES-256 key. Its id is not secret: every payload that it encrypts carries it."""

    id: str
    secret: bytes = field(repr=False)


def parse_codec_keys(text: str) -> tuple[CodecKey, ...]:
    """Parse the setting's value. Error messages do not quote it."""
    keys = tuple(_parse_key(part.strip()) for part in text.split(","))
    if len({key.id for key in keys}) != len(keys):
        raise ValueError(_FORMAT_ERROR)
    return keys


def _parse_key(text: str) -> CodecKey:
    key_id, _, encoded = text.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError(_FORMAT_ERROR) from None
    if not _KEY_ID_PATTERN.fullmatch(key_id) or len(secret) != _KEY_BYTES:
        raise ValueError(_FORMAT_ERROR)
    return CodecKey(key_id, secret)
