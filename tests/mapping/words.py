"""Texts that rows and documents share, so that what is looked up, compared and replaced is often there."""

import unicodedata

from hypothesis import strategies as st

# Python 3.11 knows Unicode 14 and Polars a later one. Upper and lower case agree on every character that 14 assigns
# (so nothing unassigned is written) but for four small letters that have been given a capital since.
_CAPITALS_CAME_LATER = "\u019b\u0264\ua7d3\ua7d5"
# NUL never comes out of PostgreSQL, surrogates are no text.
CHARACTERS = st.characters(exclude_characters="\x00" + _CAPITALS_CAME_LATER, exclude_categories=["Cs", "Cn"])

CODES = ("samtale", "gruppe", "Sámi čáhppat", "kurs", "møte", "Ærlig talt", "e\u0301", "𐐷😀", "b")
_SPACES = ("", " ", "\t\r\n", "\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\u0085\v\f", "\u3000")
# Some libraries take these for white space; they have not the property White_Space.
_NO_SPACES = ("\u001c", "\u001d\u001e\u001f", "\u200b", "\ufeff", "\u180e", "\u2060")
_CASES = ("ß", "ŉ", "ﬁ", "ΑΣ", "ΑΣ Σ.", "İi", "\u0131I", "ǆ", "ΐ", "ÆØÅ æøå", "Ŧŋđ")
# What a pattern, a template or a format would take for more than a letter.
_SIGNS = (".", "$1", "${0}", "\\", "(", "[a-z]*", "^|$", "{}", "%s", '"', "'", "a.b.c", "a b  c", ",,a,", "null", "1")
_PADDED = ("  samtale ", "\u2003møte\u00a0", "\tkurs\u001f", "\u200bgruppe ", "e\u0301e\u0301", "😀a😀")
WORDS = (*CODES, *_SPACES, *_NO_SPACES, *_CASES, *_SIGNS, *_PADDED)

# A row's texts; a document's hold no control characters.
TEXTS = st.sampled_from(CODES + CODES + WORDS) | st.text(CHARACTERS, max_size=8)
WRITTEN = TEXTS.map(lambda text: "".join(one for one in text if unicodedata.category(one) != "Cc"))
PIECES = st.sampled_from((" ", ".", "a", "e", ",", "$", "\u0301", "$1", "😀", "  ", "a.b", "Σ", "\\", "aa", "m"))
