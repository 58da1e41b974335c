"""Localised texts and names in mapping documents."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from stafett.column_mapper.size_bounds import SizeBound
from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel

MAX_TEXT_LENGTH = 1000


def _require_visible_text(text: str) -> str:
    if not text.strip():
        raise ValueError("Expected a text that is not blank")
    return text


NonBlankText = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH), AfterValidator(_require_visible_text)
]
BoundedText = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
SnakeCaseName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}\z")]


class Localized(FrozenModel):
    """A text in every language that a report can have."""

    nb: NonBlankText
    nn: NonBlankText
    en: NonBlankText

    def in_locale(self, locale: Locale) -> str:
        text: str = getattr(self, locale)
        return text

    @property
    def size(self) -> SizeBound:
        """The size of the longest text, because a document must be valid in every language."""
        return SizeBound.largest(SizeBound.from_text(text) for text in (self.nb, self.nn, self.en))
