"""Texts that rows and documents share, so that lookups, comparisons and replacements often match."""

import unicodedata

from hypothesis import strategies as st

# Python 3.11 has Unicode 14 and Polars a later version. Upper and lower case agree on every character that 14 assigns
# (so unassigned ones are excluded), except for four small characters that got a capital in a later version.
_CAPITALS_ADDED_LATER = "\u019b\u0264\ua7d3\ua7d5"
# NUL never comes out of PostgreSQL, surrogates are no text.
CHARACTERS = st.characters(exclude_characters="\x00" + _CAPITALS_ADDED_LATER, exclude_categories=["Cs", "Cn"])

CODES = ("samtale", "gruppe", "Sámi čáhppat", "kurs", "møte", "Ærlig talt", "e\u0301", "𐐷😀", "b")
_SPACES = ("", " ", "\t\r\n", "\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\u0085\v\f", "\u3000")
# Some libraries treat these as white space; they do not have the property White_Space.
_NOT_SPACES = ("\u001c", "\u001d\u001e\u001f", "\u200b", "\ufeff", "\u180e", "\u2060")
_CASE_MAPPINGS = ("ß", "ŉ", "ﬁ", "ΑΣ", "ΑΣ Σ.", "İi", "\u0131I", "ǆ", "ΐ", "ÆØÅ æøå", "Ŧŋđ")
# Characters with a meaning in a pattern, a template or a format.
_SYNTAX = (".", "$1", "${0}", "\\", "(", "[a-z]*", "^|$", "{}", "%s", '"', "'", "a.b.c", "a b  c", ",,a,", "null", "1")
_PADDED = ("  samtale ", "\u2003møte\u00a0", "\tkurs\u001f", "\u200bgruppe ", "e\u0301e\u0301", "😀a😀")
WORDS = (*CODES, *_SPACES, *_NOT_SPACES, *_CASE_MAPPINGS, *_SYNTAX, *_PADDED)

# Rows have all of these; a document's texts have no control characters.
TEXTS = st.sampled_from(CODES + CODES + WORDS) | st.text(CHARACTERS, max_size=8)
DOCUMENT_TEXTS = TEXTS.map(
    lambda text: "".join(character for character in text if unicodedata.category(character) != "Cc")
)
PIECES = st.sampled_from((" ", ".", "a", "e", ",", "$", "\u0301", "$1", "😀", "  ", "a.b", "Σ", "\\", "aa", "m"))
