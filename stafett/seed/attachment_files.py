"""What mentors attach: a few hundred files, and the names they give them."""

import hashlib
from functools import cache

from stafett.domain.frozen import FrozenModel
from stafett.seed.images import gif_of, png_of
from stafett.seed.pdf import pdf_of

DISTINCT = 300
_TITLES = (
    *("Møtereferat", "Oppmøteliste", "Påmelding høst", "Kursprogram", "Årsmøte - sakliste", "Reiseregning"),
    *("Bilde fra turen", "Gruppebilde på Røros", "Invitasjon likepersonstreff", "Evaluering æøå", "Skjema (signert)"),
    *("Áhkku ja áddjá", "Samtykke; kopi", "IMG_0001"),
)
_AWKWARD_TITLE = "..\\møte?"
_AWKWARD_ONE_IN = 40
_SUFFIXES = (".pdf", ".png", ".gif")
_MIME_TYPES = ("application/pdf", "image/png", "image/gif")


class AttachmentFile(FrozenModel):
    """The bytes of one file and what is known of them; many activities may have their own copy."""

    name: str
    mime_type: str
    content: bytes
    sha256: str


@cache
def attachment_file(variant: int) -> AttachmentFile:
    """One of the ``DISTINCT`` files."""
    kind = variant % len(_SUFFIXES)
    content = _content(variant)
    return AttachmentFile(
        name=_title(variant) + _SUFFIXES[kind],
        mime_type=_MIME_TYPES[kind],
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _title(variant: int) -> str:
    turn = variant // len(_SUFFIXES)
    return _AWKWARD_TITLE if turn % _AWKWARD_ONE_IN == _AWKWARD_ONE_IN - 1 else _TITLES[turn % len(_TITLES)]


def _content(variant: int) -> bytes:
    match variant % len(_SUFFIXES):
        case 0:
            return pdf_of(_minutes(variant))
        case 1:
            return png_of(variant)
        case _:
            return gif_of(variant)


def _minutes(variant: int) -> list[str]:
    return [
        f"Møtereferat nr. {variant + 1}",
        "",
        f"Til stede: {3 + variant % 9} deltakere og én likeperson.",
        "Sak 1: Åpning og presentasjon (kaffe og vafler).",
        "Sak 2: Å søke om hjelpemidler \\ BPA: erfaringer.",
        "Sak 3: Neste møte på Sør-Hålogaland frivilligsentral.",
    ]
