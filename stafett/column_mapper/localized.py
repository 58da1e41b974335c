"""Texts and names in a mapping document."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel

MAX_TEXT_LENGTH = 1000


def _require_visible_text(text: str) -> str:
    if not text.strip():
        raise ValueError("Expected something that can be seen")
    return text


NonBlankText = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH), AfterValidator(_require_visible_text)
]
BoundedText = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
SnakeCaseName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}\z")]


class Localized(FrozenModel):
    """The same words in every language a report can be in."""

    nb: NonBlankText
    nn: NonBlankText
    en: NonBlankText

    def in_locale(self, locale: Locale) -> str:
        words: str = getattr(self, locale)
        return words

    @property
    def max_text_units(self) -> float:
        """Of the longest: what holds of a document holds in every language."""
        return max(text_units(words) for words in (self.nb, self.nn, self.en))


def text_units(text: str) -> float:
    """How long a text is, in hundreds of characters."""
    return len(text) / 100
