"""Brings the console's catalogues up to date with the texts of its templates; new texts get an empty translation.

Run ``python tools/console_texts.py`` after a text has changed. A test fails while a translation is missing.
"""

import sys
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

CONSOLE = Path(__file__).parent.parent / "api" / "console"
LANGUAGES = ("nb", "nn")
_OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true"}
_OMITTED_HEADERS = tuple(
    f'"{name}'.encode() for name in ("Project", "Report", "POT", "PO-", "Last", "Language-Team", "Generated")
)
"""Dates and persons, which would change with every run."""

_KEYWORDS = {"_": None, "ngettext": (1, 2)}


def extract_texts() -> list[str | tuple[str, ...]]:
    """Return the texts of all templates, each once; one with a plural is a pair."""
    found = extract_from_dir(CONSOLE / "templates", [("**.html", "jinja2")], {"**.html": _OPTIONS}, _KEYWORDS)
    return list(dict.fromkeys(text for _file, _line, text, _comments, _context in found))


def load_catalogue(language: str) -> Catalog:
    return read_po(BytesIO(get_path(language).read_bytes()), language)


def get_path(language: str) -> Path:
    return CONSOLE / "locales" / f"{language}.po"


def update_catalogue(language: str) -> bytes:
    """Return the catalogue with exactly the texts of the templates, in their order, and the translations it has."""
    old = load_catalogue(language)
    new = Catalog(language, header_comment=f"# Texts of the console in {language}.", fuzzy=False)
    for text in extract_texts():
        message = old.get(text[0] if isinstance(text, tuple) else text)
        new.add(text, message.string if message is not None else None)
    file = BytesIO()
    write_po(file, new, width=0)
    lines = [line for line in file.getvalue().splitlines() if not line.startswith(_OMITTED_HEADERS)]
    return b"\n".join(lines).strip() + b"\n"


def main() -> None:
    for language in LANGUAGES:
        get_path(language).write_bytes(update_catalogue(language))
        missing = [message.id for message in load_catalogue(language) if message.id and not message.string]
        print(f"{language}: {len(missing)} texts without a translation")  # noqa: T201 - a command of the repository
        sys.stdout.writelines(f"  {text}\n" for text in missing)


if __name__ == "__main__":
    main()
