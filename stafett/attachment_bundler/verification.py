"""A bundle held against its own manifest; nothing in it is believed, and nothing of it is unpacked to a disk."""

import hashlib
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from pydantic import ValidationError

from stafett.attachment_bundler.manifest import MANIFEST, Manifest, Member

_DAMAGE = (BadZipFile, zlib.error, LZMAError, EOFError, struct.error, OSError, RuntimeError, ValueError, OverflowError)
"""What ``zipfile`` says of files that are not as they should be; an unknown method is a ``RuntimeError`` too."""

_BLOCK = 1024 * 1024
_LARGEST_MANIFEST = 256 * _BLOCK


def verify_bundle(path: Path) -> tuple[Manifest | None, list[str]]:
    """The manifest, if there is one, and everything that is not as it says."""
    try:
        with ZipFile(path) as bundle:
            return _verified(bundle)
    except _DAMAGE:
        return None, ["It is no ZIP file, or a damaged one."]


def _verified(bundle: ZipFile) -> tuple[Manifest | None, list[str]]:
    there = {info.filename: info for info in bundle.infolist()}
    if MANIFEST not in there:
        return None, [f"It has no {MANIFEST}."]
    try:
        with bundle.open(there[MANIFEST]) as content:
            manifest = Manifest.model_validate_json(content.read(_LARGEST_MANIFEST))
    except ValidationError:
        return None, [f"Its {MANIFEST} is not one that this version knows."]
    except _DAMAGE:
        return None, [f"Its {MANIFEST} is damaged."]
    return manifest, list(_findings(bundle, manifest, there))


def _findings(bundle: ZipFile, manifest: Manifest, there: dict[str, ZipInfo]) -> Iterator[str]:
    for member in manifest.members:
        info = there.get(member.name)
        if fault := _left_out(member, info) if member.missing or info is None else _fault(bundle, member, info):
            yield f"{_printable(member.name)} {fault}"
    known = {MANIFEST, *(member.name for member in manifest.members)}
    times = Counter(info.filename for info in bundle.infolist())
    for name in times:
        if name not in known:
            yield f"{_printable(name)} is not in the manifest."
        elif times[name] > 1:
            yield f"{_printable(name)} is there {times[name]} times."


def _left_out(member: Member, info: ZipInfo | None) -> str | None:
    if member.missing:
        return "is there, and the manifest says it is missing." if info else None
    return "is missing."


def _fault(bundle: ZipFile, member: Member, info: ZipInfo) -> str | None:
    """Read no further than it should be long: it may be made to unpack without end."""
    found, size = hashlib.sha256(), 0
    try:
        with bundle.open(info) as content:
            for block in iter(partial(content.read, _BLOCK), b""):
                found.update(block)
                size += len(block)
                if size > member.size_bytes:
                    return f"is larger than the {member.size_bytes} bytes of the manifest."
    except _DAMAGE:
        return "is damaged."
    if size != member.size_bytes:
        return f"has {size} bytes, and {member.size_bytes} in the manifest."
    return None if found.hexdigest() == member.sha256 else "has another SHA-256 than in the manifest."


def _printable(name: str) -> str:
    """A name that somebody else made, on our terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name)
