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

from stafett.attachment_bundler.manifest import MANIFEST_NAME, BundleManifest, BundleMember

_DAMAGED_ZIP_ERRORS = (
    BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    struct.error,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What ``zipfile`` says of files that are not as they should be; an unknown method is a ``RuntimeError`` too."""

_BLOCK_SIZE = 1024 * 1024
_MAX_MANIFEST_BYTES = 256 * _BLOCK_SIZE


def verify_bundle(path: Path) -> tuple[BundleManifest | None, list[str]]:
    """The manifest, if there is one, and everything that is not as it says."""
    try:
        with ZipFile(path) as bundle:
            return _verify_zip(bundle)
    except _DAMAGED_ZIP_ERRORS:
        return None, ["It is no ZIP file, or a damaged one."]


def _verify_zip(bundle: ZipFile) -> tuple[BundleManifest | None, list[str]]:
    there = {info.filename: info for info in bundle.infolist()}
    if MANIFEST_NAME not in there:
        return None, [f"It has no {MANIFEST_NAME}."]
    try:
        with bundle.open(there[MANIFEST_NAME]) as content:
            manifest = BundleManifest.model_validate_json(content.read(_MAX_MANIFEST_BYTES))
    except ValidationError:
        return None, [f"Its {MANIFEST_NAME} is not one that this version knows."]
    except _DAMAGED_ZIP_ERRORS:
        return None, [f"Its {MANIFEST_NAME} is damaged."]
    return manifest, list(_find_issues(bundle, manifest, there))


def _find_issues(bundle: ZipFile, manifest: BundleManifest, members_by_name: dict[str, ZipInfo]) -> Iterator[str]:
    for member in manifest.members:
        info = members_by_name.get(member.name)
        if (
            fault := _check_absent(member, info)
            if member.missing or info is None
            else _check_content(bundle, member, info)
        ):
            yield f"{_to_printable(member.name)} {fault}"
    known = {MANIFEST_NAME, *(member.name for member in manifest.members)}
    times = Counter(info.filename for info in bundle.infolist())
    for name in times:
        if name not in known:
            yield f"{_to_printable(name)} is not in the manifest."
        elif times[name] > 1:
            yield f"{_to_printable(name)} is there {times[name]} times."


def _check_absent(member: BundleMember, info: ZipInfo | None) -> str | None:
    if member.missing:
        return "is there, and the manifest says it is missing." if info else None
    return "is missing."


def _check_content(bundle: ZipFile, member: BundleMember, info: ZipInfo) -> str | None:
    """Read no further than it should be long: it may be made to unpack without end."""
    found, size = hashlib.sha256(), 0
    try:
        with bundle.open(info) as content:
            for block in iter(partial(content.read, _BLOCK_SIZE), b""):
                found.update(block)
                size += len(block)
                if size > member.size_bytes:
                    return f"is larger than the {member.size_bytes} bytes of the manifest."
    except _DAMAGED_ZIP_ERRORS:
        return "is damaged."
    if size != member.size_bytes:
        return f"has {size} bytes, and {member.size_bytes} in the manifest."
    return None if found.hexdigest() == member.sha256 else "has another SHA-256 than in the manifest."


def _to_printable(name: str) -> str:
    """A name that somebody else made, on our terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name)
