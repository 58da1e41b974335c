"""Verifies a bundle against its own manifest, without trusting its content or unpacking it to disk."""

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
"""Errors that ``zipfile`` raises for damaged files; an unknown compression method is a ``RuntimeError``."""

_BLOCK_SIZE = 1024 * 1024
_MAX_MANIFEST_BYTES = 256 * _BLOCK_SIZE


def verify_bundle(path: Path) -> tuple[BundleManifest | None, list[str]]:
    """Return the manifest, or None if it cannot be read, and a description of each difference from it."""
    try:
        with ZipFile(path) as bundle:
            return _verify_zip(bundle)
    except _DAMAGED_ZIP_ERRORS:
        return None, ["Not a ZIP file, or damaged."]


def _verify_zip(bundle: ZipFile) -> tuple[BundleManifest | None, list[str]]:
    members_by_name = {info.filename: info for info in bundle.infolist()}
    if MANIFEST_NAME not in members_by_name:
        return None, [f"{MANIFEST_NAME} is missing."]
    try:
        with bundle.open(members_by_name[MANIFEST_NAME]) as content:
            manifest = BundleManifest.model_validate_json(content.read(_MAX_MANIFEST_BYTES))
    except ValidationError:
        return None, [f"{MANIFEST_NAME} has an unsupported format."]
    except _DAMAGED_ZIP_ERRORS:
        return None, [f"{MANIFEST_NAME} is damaged."]
    return manifest, list(_find_issues(bundle, manifest, members_by_name))


def _find_issues(bundle: ZipFile, manifest: BundleManifest, members_by_name: dict[str, ZipInfo]) -> Iterator[str]:
    for member in manifest.members:
        info = members_by_name.get(member.name)
        if (
            issue := _check_absent(member, info)
            if member.missing or info is None
            else _check_content(bundle, member, info)
        ):
            yield f"{_to_printable(member.name)} {issue}"
    listed_names = {MANIFEST_NAME, *(member.name for member in manifest.members)}
    counts_by_name = Counter(info.filename for info in bundle.infolist())
    for name in counts_by_name:
        if name not in listed_names:
            yield f"{_to_printable(name)} is not in the manifest."
        elif counts_by_name[name] > 1:
            yield f"{_to_printable(name)} appears {counts_by_name[name]} times."


def _check_absent(member: BundleMember, info: ZipInfo | None) -> str | None:
    if member.missing:
        return "is present, but the manifest lists it as missing." if info else None
    return "is missing."


def _check_content(bundle: ZipFile, member: BundleMember, info: ZipInfo) -> str | None:
    """Compare a member with the manifest. Reading stops at the listed size, because a ZIP bomb unpacks without end."""
    sha256, size = hashlib.sha256(), 0
    try:
        with bundle.open(info) as content:
            for block in iter(partial(content.read, _BLOCK_SIZE), b""):
                sha256.update(block)
                size += len(block)
                if size > member.size_bytes:
                    return f"is larger than the {member.size_bytes} bytes in the manifest."
    except _DAMAGED_ZIP_ERRORS:
        return "is damaged."
    if size != member.size_bytes:
        return f"has {size} bytes instead of the {member.size_bytes} in the manifest."
    return None if sha256.hexdigest() == member.sha256 else "does not match the SHA-256 in the manifest."


def _to_printable(name: str) -> str:
    """Replace unprintable characters: the name is untrusted and is written to a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
