"""A page as a text browser shows it: headings, links, fields with their names, and tables, in reading order."""

import re
from xml.etree.ElementTree import Element

from tests.support.page_markup import PageMarkup, text_of

_BLOCKS = frozenset(
    {"p", "div", "form", "section", "header", "footer", "main", "figure", "figcaption", "dl", "ul", "ol", "fieldset"}
)
_HEADINGS = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_PREFIXES = _HEADINGS | {"li": "* ", "legend": "Group: "}
_CONTROLS = frozenset({"a", "button", "input", "select", "textarea", "progress"})
_UNSEEN = frozenset({"head", "script", "datalist", "template"})
_MAX_OPTIONS = 8
_MONTHS = "jan|feb|mar|apr|mai|jun|jul|aug|sep|okt|nov|des"
_NORMALISED = (
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"page_token=[\w-]+"), "page_token=TOKEN"),
    (re.compile(r"\b(whsec_|stafett_)[\w+/=-]{32,}"), "SECRET"),
    (re.compile(r"\bt[0-9a-f]{12}\b"), "ORGANISATION"),
    (re.compile(r"\(([0-9a-f]{8})\)"), "(ID)"),
    (re.compile(r"\b[0-9a-f]{8}\b(?=[ \]])"), "ID"),
    (re.compile(r"\b[0-9a-f]{12}…"), "SHA256"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "ORIGIN"),
    (re.compile(rf"\b\d{{1,2}}\. ({_MONTHS})\w*\.? 20\d\d(,? (kl\. ?)?\d\d[.:]\d\d)?"), "DATE"),
    (re.compile(r"\b\d\d\.\d\d\.20\d\d( \d\d[.:]\d\d)?"), "DATE"),
    (re.compile(r"\b20\d\d-\d\d-\d\d(T[\d:.+Z-]+)?"), "DATE"),
    (re.compile(r"\bkl\. \d\d[.:]\d\d([.:]\d\d)?|\b\d\d:\d\d(:\d\d)?\b"), "TIME"),
    (re.compile(r"\b\d+(,\d+)?\s(B|kB|MB)(?!\w)"), "SIZE"),
    (re.compile(r"(?<![\d.])20\d\d(?![\d.])"), "YEAR"),
)
"""What differs from run to run, with the word that replaces it."""


def render_text(html: str) -> str:
    """Render a page as text without what differs from run to run."""
    text = _TextRenderer(PageMarkup(html)).render()
    for pattern, word in _NORMALISED:
        text = pattern.sub(word, text)
    return text


class _TextRenderer:
    def __init__(self, page: PageMarkup) -> None:
        self._page = page
        self._lines: list[str] = []
        self._words: list[str] = []
        self._prefix = ""

    def render(self) -> str:
        (title,) = self._page.iterate("title")
        self._lines = [f"Title: {text_of(title)}", ""]
        self._walk(self._page.root)
        self._end_line()
        return "\n".join(self._lines) + "\n"

    def _end_line(self) -> None:
        line = " ".join("".join(self._words).split())
        if line:
            self._lines.append(self._prefix + line)
            self._prefix = ""
        self._words = []

    def _start_line(self, prefix: str) -> None:
        self._end_line()
        self._prefix += prefix

    def _walk(self, element: Element) -> None:
        if element.tag not in _UNSEEN:
            self._enter(element, element.tag)
        self._words.append(element.tail or "")

    def _enter(self, element: Element, tag: str) -> None:
        if element.attrib.get("role") in {"status", "alert"}:
            self._write_line(element, f"({element.attrib['role']}) ")
        elif tag == "nav":
            self._write_navigation(element)
        elif tag == "table":
            self._write_table(element)
        elif tag in _CONTROLS or tag.endswith("svg"):
            self._words.append(self._render_control(element, tag))
        else:
            self._enter_text(element, tag)

    def _enter_text(self, element: Element, tag: str) -> None:
        if tag in _HEADINGS:
            self._end_line()
            self._lines.append("")
        prefix = _PREFIXES.get(tag)
        is_label = tag == "label" and self._page.parents[element].attrib.get("class", "").startswith("field")
        if prefix is not None or is_label:
            self._write_line(element, prefix or "")
        elif tag == "dt":
            self._end_line()
            self._walk_children(element)
            self._words.append(": ")
        elif tag in {"dd", "br"}:
            self._walk_children(element)
            self._end_line()
        elif tag in _BLOCKS:
            self._end_line()
            self._walk_children(element)
            self._end_line()
        else:
            self._walk_children(element)

    def _write_navigation(self, element: Element) -> None:
        items = [self._render_inline(item) for item in element.iter("li")] or [self._render_inline(element)]
        self._start_line(f"Navigation {self._page.name_of(element)}: ")
        self._words = [" · ".join(items)]
        self._end_line()

    def _walk_children(self, element: Element) -> None:
        self._words.append(element.text or "")
        for child in element:
            self._walk(child)

    def _write_line(self, element: Element, prefix: str) -> None:
        self._start_line(prefix)
        self._walk_children(element)
        self._end_line()
        self._prefix = ""  # of an element without text

    def _render_inline(self, element: Element) -> str:
        """Render an element on one line."""
        renderer = _TextRenderer(self._page)
        renderer._walk_children(element)
        renderer._end_line()
        return " ".join(renderer._lines)

    def _render_control(self, element: Element, tag: str) -> str:
        name = self._page.name_of(element)
        if tag == "a":
            current = ", current" if "aria-current" in element.attrib else ""
            return f"[{name} -> {element.attrib['href']}{current}]"
        if tag == "button":
            return f" <{name}> "
        if tag == "progress":
            return f" {{progress {name!r}: {element.attrib['value']} of {element.attrib['max']}}} "
        if tag == "select":
            return f" {{select {name!r}: {self._render_options(element)}}} "
        if tag.endswith("svg"):
            return f" {{picture {name!r}}} "
        return self._render_input(element, name)

    def _render_input(self, element: Element, name: str) -> str:
        kind = element.attrib.get("type", "text")
        if kind == "hidden":
            return ""
        if kind in {"radio", "checkbox"}:
            return f" ({'x' if 'checked' in element.attrib else ' '}) "
        value = (element.text if element.tag == "textarea" else element.attrib.get("value")) or ""
        description = element.attrib.get("aria-describedby", "").split()
        details = [text_of(each) for each in map(self._page.find_by_id, description) if each is not None]
        described = f", described by {'; '.join(details)!r}" if details else ""
        return f" {{{kind} {name!r}: {value}{described}}} "

    @staticmethod
    def _render_options(element: Element) -> str:
        options = [f"{text_of(each)}{'*' if 'selected' in each.attrib else ''}" for each in element.iter("option")]
        chosen = [each for each in options[_MAX_OPTIONS:] if each.endswith("*")]
        rest = [f"… {len(options)} in all"] if len(options) > _MAX_OPTIONS else []
        return " | ".join([*options[:_MAX_OPTIONS], *chosen, *rest])

    def _write_table(self, table: Element) -> None:
        self._end_line()
        caption = next(table.iter("caption"), None)
        if caption is not None:
            self._lines += ["", f"Table: {self._render_inline(caption)}"]
        for row in table.iter("tr"):
            self._lines.append(" | ".join(self._render_inline(cell) for cell in row if cell.tag in {"th", "td"}))
        self._lines.append("")
