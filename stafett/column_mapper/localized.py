"""Texts and names in a mapping document."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel

MOST_CHARACTERS = 1000


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("Expected something that can be seen")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_visible)]
AnyText = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}\z")]


class Localized(FrozenModel):
    """The same words in every language a report can be in."""

    nb: Text
    nn: Text
    en: Text

    def in_(self, locale: Locale) -> str:
        words: str = getattr(self, locale)
        return words

    @property
    def size(self) -> float:
        """Of the longest: what holds of a document holds in every language."""
        return max(size_of(words) for words in (self.nb, self.nn, self.en))


def size_of(text: str) -> float:
    """How long a text is, in hundreds of characters."""
    return len(text) / 100
