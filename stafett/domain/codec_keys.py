"""The keys that payloads are sealed with: each has a name, so that one can follow the other."""

import base64
import re
from dataclasses import dataclass, field

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SECRET_BYTES = 32
_EXPECTED = (
    "keys with their names are expected, the one that seals first, such as 2027:KEY,2026:KEY;"
    " a key is 32 bytes in base64 (openssl rand -base64 32), and no name comes twice"
)


@dataclass(frozen=True)
class CodecKey:
    """An AES-256 key; its name travels with every payload it has sealed, and is no secret."""

    id: str
    secret: bytes = field(repr=False)


def codec_keys(written: str) -> tuple[CodecKey, ...]:
    """The keys of a setting; what is wrong with it is said without repeating it."""
    keys = tuple(_key(part.strip()) for part in written.split(","))
    if len({key.id for key in keys}) != len(keys):
        raise ValueError(_EXPECTED)
    return keys


def _key(written: str) -> CodecKey:
    name, _, encoded = written.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if not _ID.fullmatch(name) or len(secret) != _SECRET_BYTES:
        raise ValueError(_EXPECTED)
    return CodecKey(name, secret)
