"""Escapes of characters that control a terminal. Texts of other users reach it through the API.

It imports nothing but the standard library, because ``stafett`` prints an error even where a package is missing.
"""

import re

_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Control characters of ASCII and Latin-1, line separators, changes of writing direction, and unpaired surrogates.
_CONTROLS = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDIRECTIONAL}\ud800-\udfff]")
_CONTROLS_OF_FILES = re.compile(_CONTROLS.pattern.replace("\x00-\x1f", "\x00-\x08\x0b\x0c\x0e-\x1f"))


def escape_line(text: str) -> str:
    """Replace control characters, line breaks included, by visible escapes."""
    return _CONTROLS.sub(_escape, text)


def escape_file(text: str) -> str:
    """Replace control characters other than line breaks and tabs."""
    return _CONTROLS_OF_FILES.sub(_escape, text)


def escape_json(text: str) -> str:
    """Replace the control characters that JSON allows in a string by JSON's own escapes; line breaks remain."""
    return _CONTROLS_OF_FILES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
