"""Generated attachment files: a few hundred distinct ones, with the names that mentors give to files."""

import hashlib
from functools import cache

from stafett.domain.frozen import FrozenModel
from stafett.seed.images import render_gif, render_png
from stafett.seed.pdf import render_pdf

DISTINCT_FILE_COUNT = 300
_TITLES = (
    *("Møtereferat", "Oppmøteliste", "Påmelding høst", "Kursprogram", "Årsmøte - sakliste", "Reiseregning"),
    *("Bilde fra turen", "Gruppebilde på Røros", "Invitasjon likepersonstreff", "Evaluering æøå", "Skjema (signert)"),
    *("Áhkku ja áddjá", "Samtykke; kopi", "IMG_0001"),
)
_AWKWARD_TITLE = "..\\møte?"
_AWKWARD_TITLE_INTERVAL = 40
_SUFFIXES = (".pdf", ".png", ".gif")
_MIME_TYPES = ("application/pdf", "image/png", "image/gif")


class AttachmentFile(FrozenModel):
    """The name, type, content and hash of one file, of which many activities may have their own copy."""

    name: str
    mime_type: str
    content: bytes
    sha256: str


@cache
def build_attachment_file(variant: int) -> AttachmentFile:
    """Build one of the ``DISTINCT_FILE_COUNT`` files."""
    format_index = variant % len(_SUFFIXES)
    content = _render_content(variant)
    return AttachmentFile(
        name=_build_title(variant) + _SUFFIXES[format_index],
        mime_type=_MIME_TYPES[format_index],
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _build_title(variant: int) -> str:
    title_index = variant // len(_SUFFIXES)
    return (
        _AWKWARD_TITLE
        if title_index % _AWKWARD_TITLE_INTERVAL == _AWKWARD_TITLE_INTERVAL - 1
        else _TITLES[title_index % len(_TITLES)]
    )


def _render_content(variant: int) -> bytes:
    match variant % len(_SUFFIXES):
        case 0:
            return render_pdf(_meeting_minutes(variant))
        case 1:
            return render_png(variant)
        case _:
            return render_gif(variant)


def _meeting_minutes(variant: int) -> list[str]:
    return [
        f"Møtereferat nr. {variant + 1}",
        "",
        f"Til stede: {3 + variant % 9} deltakere og én likeperson.",
        "Sak 1: Åpning og presentasjon (kaffe og vafler).",
        "Sak 2: Å søke om hjelpemidler \\ BPA: erfaringer.",
        "Sak 3: Neste møte på Sør-Hålogaland frivilligsentral.",
    ]
