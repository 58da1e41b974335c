"""The form of an email: one section per language, as plain text and as simple HTML."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple


class Link(NamedTuple):
    """A page of the console."""

    label: str
    url: str


class Command(NamedTuple):
    """What does the same on a command line."""

    label: str
    command: str


class EmailSection(NamedTuple):
    """The whole message in one language."""

    language: str
    opening: Sequence[str]
    facts: Sequence[tuple[str, str]]
    link: Link
    closing: str
    remarks: Sequence[str] = ()
    command: Command | None = None


def render_text(sections: Sequence[EmailSection]) -> str:
    return "\n\n".join("\n\n".join(_list_text_blocks(section)) for section in sections) + "\n"


def _list_text_blocks(section: EmailSection) -> Iterator[str]:
    yield from section.opening
    yield "\n".join(f"{label}: {value}" for label, value in section.facts)
    if section.remarks:
        yield "\n".join(f"- {remark}" for remark in section.remarks)
    yield f"{section.link.label}:\n{section.link.url}"
    if section.command is not None:
        yield f"{section.command.label}:\n{section.command.command}"
    yield section.closing


_PAGE = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body style="font-family: sans-serif; font-size: 16px; line-height: 1.5">
{sections}
</body>
</html>
"""


def render_html(title: str, sections: Sequence[EmailSection]) -> str:
    """Render a page without images and scripts, which needs nothing from another place."""
    parts = "\n".join(map(_render_html_section, sections))
    return _PAGE.format(language=sections[0].language, title=escape(title), sections=parts)


def _render_html_section(section: EmailSection) -> str:
    return "\n".join([f'<div lang="{section.language}">', *_list_html_blocks(section), "</div>"])


def _list_html_blocks(section: EmailSection) -> Iterator[str]:
    yield from (f"<p>{escape(paragraph)}</p>" for paragraph in section.opening)
    yield "<table>"
    for label, value in section.facts:
        yield f'<tr><th scope="row" style="text-align: left; padding-right: 1em">{escape(label)}</th>'
        yield f"<td>{escape(value)}</td></tr>"
    yield "</table>"
    if section.remarks:
        yield f"<ul>{''.join(f'<li>{escape(remark)}</li>' for remark in section.remarks)}</ul>"
    yield f'<p><a href="{escape(section.link.url)}">{escape(section.link.label)}</a></p>'
    if section.command is not None:
        yield f"<p>{escape(section.command.label)}:<br><code>{escape(section.command.command)}</code></p>"
    yield f"<p>{escape(section.closing)}</p>"
