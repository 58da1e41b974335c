"""What attachments are called in a bundle: names that we make, which every system can write."""

import mimetypes
import re
import unicodedata
from datetime import date
from pathlib import PurePosixPath
from uuid import UUID

_MOST_BYTES = 120
_KEPT = ("L", "M", "N")
_SOUND_EXTENSION = re.compile(r"[a-z0-9]{1,10}", re.ASCII)
_KNOWN_TYPES = mimetypes.MimeTypes()
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


def member_name(day: date, activity_id: UUID, number: int, file_name: str, mime_type: str) -> str:
    """Unique by what stands before the slug, and so wherever capitals or accents are not told apart."""
    stem, _, extension = file_name.rpartition(".")
    if not _SOUND_EXTENSION.fullmatch(extension.lower()) or not stem:
        stem, extension = file_name, _extension_of(mime_type)
    return f"attachments/{day}-{activity_id}-{number}-{_slug(stem)}.{extension.lower()}"


def is_compressed(name: str, mime_type: str) -> bool:
    """Whether deflating it would be a waste."""
    extension = PurePosixPath(name).suffix.removeprefix(".").lower()
    return extension in _COMPRESSED_EXTENSIONS or _COMPRESSED_TYPES.fullmatch(mime_type.lower()) is not None


def _slug(stem: str) -> str:
    """Letters and digits of every alphabet; everything else is a hyphen."""
    letters = (one if unicodedata.category(one)[0] in _KEPT else "-" for one in unicodedata.normalize("NFC", stem))
    slug = re.sub("-+", "-", "".join(letters)).strip("-")
    return slug.encode()[:_MOST_BYTES].decode(errors="ignore").strip("-") or "file"


def _extension_of(mime_type: str) -> str:
    return (_KNOWN_TYPES.guess_extension(mime_type) or ".bin").removeprefix(".")
