"""The keys that payloads are sealed with: each has a name, so that one can follow the other."""

import base64
import re
from dataclasses import dataclass, field

_KEY_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_KEY_BYTES = 32
_FORMAT_ERROR = (
    "keys with their names are expected, the one that seals first, such as 2027:KEY,2026:KEY;"
    " a key is 32 bytes in base64 (openssl rand -base64 32), and no name comes twice"
)


@dataclass(frozen=True)
class CodecKey:
    """An AES-256 key; its name travels with every payload it has sealed, and is no secret."""

    id: str
    secret: bytes = field(repr=False)


def parse_codec_keys(text: str) -> tuple[CodecKey, ...]:
    """The keys of a setting; what is wrong with it is said without repeating it."""
    keys = tuple(_parse_key(part.strip()) for part in text.split(","))
    if len({key.id for key in keys}) != len(keys):
        raise ValueError(_FORMAT_ERROR)
    return keys


def _parse_key(text: str) -> CodecKey:
    name, _, encoded = text.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError(_FORMAT_ERROR) from None
    if not _KEY_ID_PATTERN.fullmatch(name) or len(secret) != _KEY_BYTES:
        raise ValueError(_FORMAT_ERROR)
    return CodecKey(name, secret)
