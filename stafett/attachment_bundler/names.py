"""Names of the attachments in a bundle, built so that every operating system can create the files."""

import mimetypes
import re
import unicodedata
from datetime import date
from pathlib import PurePosixPath
from uuid import UUID

_MAX_SLUG_BYTES = 120
_SLUG_CATEGORIES = ("L", "M", "N")
_VALID_EXTENSION = re.compile(r"[a-z0-9]{1,10}", re.ASCII)
_MIME_TYPES = mimetypes.MimeTypes()
_COMPRESSED_TYPES = re.compile(
    r"image/(jpeg|png|gif|webp|heic|heif|avif)|video/.*|audio/(mpeg|mp4|aac|ogg|opus)"
    r"|application/(pdf|zip|gzip|x-7z-compressed|vnd\.rar|x-rar-compressed|epub\+zip)"
    r"|application/vnd\.(openxmlformats-officedocument|oasis\.opendocument)\..*"
)
_COMPRESSED_EXTENSIONS = frozenset(
    {
        *("jpg", "jpeg", "png", "gif", "webp", "heic", "heif", "avif", "mp3", "m4a", "aac", "ogg", "opus"),
        *("mp4", "m4v", "mov", "mkv", "webm", "pdf", "docx", "xlsx", "pptx", "odt", "ods", "odp", "epub"),
        *("zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar"),
    }
)


def build_member_name(day: date, activity_id: UUID, number: int, file_name: str, mime_type: str) -> str:
    """Build a name that is unique before its slug, and so also where case and accents are ignored."""
    stem, _, extension = file_name.rpartition(".")
    if not _VALID_EXTENSION.fullmatch(extension.lower()) or not stem:
        stem, extension = file_name, _guess_extension(mime_type)
    return f"attachments/{day}-{activity_id}-{number}-{_slugify(stem)}.{extension.lower()}"


def is_compressed(name: str, mime_type: str) -> bool:
    """Check whether the content is compressed already, so that deflating it would gain nothing."""
    extension = PurePosixPath(name).suffix.removeprefix(".").lower()
    return extension in _COMPRESSED_EXTENSIONS or _COMPRESSED_TYPES.fullmatch(mime_type.lower()) is not None


def _slugify(stem: str) -> str:
    """Keep letters and digits of every script, and replace everything else with hyphens."""
    characters = (
        character if unicodedata.category(character)[0] in _SLUG_CATEGORIES else "-"
        for character in unicodedata.normalize("NFC", stem)
    )
    slug = re.sub("-+", "-", "".join(characters)).strip("-")
    return slug.encode()[:_MAX_SLUG_BYTES].decode(errors="ignore").strip("-") or "file"


def _guess_extension(mime_type: str) -> str:
    return (_MIME_TYPES.guess_extension(mime_type) or ".bin").removeprefix(".")
