"""The markup of a page as a tree: its forms, and what is not valid or not accessible in it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from html5lib import HTMLParser
from html5lib.constants import E as MESSAGES

_ISOLATED = re.compile("\N{FIRST STRONG ISOLATE}[^\N{POP DIRECTIONAL ISOLATE}]*\N{POP DIRECTIONAL ISOLATE}")
_CONTROLS, _HEADINGS = frozenset({"input", "select", "textarea"}), ("h1", "h2", "h3", "h4", "h5", "h6")
_REFERENCES = ("for", "aria-labelledby", "aria-describedby", "list", "form")


class PageForm(NamedTuple):
    """A form that a page sends with POST."""

    action: str
    is_upload: bool
    hidden: Mapping[str, str]
    visible: Sequence[str]
    """Names of the fields that a user can fill in."""


class PageMarkup:
    """A parsed page."""

    def __init__(self, html: str) -> None:
        parser = HTMLParser(namespaceHTMLElements=False)
        self.root: Element = parser.parse(html)
        self.parse_errors = [
            f"{line}:{column} {MESSAGES[code] % values}" for (line, column), code, values in parser.errors
        ]
        self.ids = Counter(element.attrib["id"] for element in self.iterate() if "id" in element.attrib)
        self.parents = {child: parent for parent in self.root.iter() for child in parent}

    def iterate(self, *names: str) -> Iterator[Element]:
        """Iterate over the elements with these names, or over all of them."""
        return (each for each in self.root.iter() if not names or each.tag in names)

    def ancestors(self, element: Element) -> Iterator[Element]:
        while element in self.parents:
            element = self.parents[element]
            yield element

    def find_by_id(self, element_id: str) -> Element | None:
        return next((each for each in self.iterate() if each.attrib.get("id") == element_id), None)

    def list_forms(self) -> list[PageForm]:
        """List the forms that are sent with POST, and those that their buttons send elsewhere."""
        return [
            self._read_form(form, action)
            for form in self.iterate("form")
            if form.attrib.get("method") == "post"
            for action in dict.fromkeys([form.attrib["action"], *map(_read_formaction, form.iter("button"))])
            if action
        ]

    @staticmethod
    def _read_form(form: Element, action: str) -> PageForm:
        hidden, visible = dict[str, str](), list[str]()
        for control in form.iter():
            name = control.attrib.get("name")
            if control.tag not in _CONTROLS or name is None:
                continue
            if control.attrib.get("type") == "hidden":
                hidden[name] = control.attrib.get("value", "")
            elif name not in visible:
                visible.append(name)
        return PageForm(action, form.attrib.get("enctype") == "multipart/form-data", hidden, visible)

    def name_of(self, element: Element) -> str:
        """Return the accessible name of an element, as far as this console gives one."""
        if "aria-labelledby" in element.attrib:
            targets = map(self.find_by_id, element.attrib["aria-labelledby"].split())
            return " ".join(text_of(target) for target in targets if target is not None)
        if "aria-label" in element.attrib:
            return element.attrib["aria-label"]
        if element.tag in _CONTROLS | {"progress"}:
            labels = (each for each in self.iterate("label") if each.attrib.get("for") == element.attrib.get("id", ""))
            return " ".join(map(text_of, labels))
        return text_of(element)


def _read_formaction(button: Element) -> str:
    return button.attrib.get("formaction", "")


def text_of(element: Element) -> str:
    """Return the text of an element on one line."""
    return " ".join("".join(element.itertext()).split())


def find_faults(html: str) -> list[str]:
    """Find what is not valid in a page, and what is not accessible although the page is valid."""
    page = PageMarkup(html)
    return [
        *page.parse_errors,
        *_find_faulty_references(page),
        *_find_faulty_structure(page),
        *_find_faulty_headings(page),
        *_find_unnamed_elements(page),
        *_find_faulty_tables(page),
        *_find_unsafe_markup(page),
        *_find_faulty_error_summary(page),
    ]


def _find_faulty_references(page: PageMarkup) -> Iterator[str]:
    for element_id, count in page.ids.items():
        if count > 1:
            yield f"the id {element_id} is given {count} times"
    for element in page.iterate():
        for name in _REFERENCES:
            for target in element.attrib.get(name, "").split():
                if target not in page.ids:
                    yield f"{element.tag} {name}={target} refers to nothing"
        link = element.attrib.get("href", "")
        if link.startswith("#") and link[1:] not in page.ids:
            yield f"the link {link} leads to nothing"


def _find_faulty_structure(page: PageMarkup) -> Iterator[str]:
    if not page.root.attrib.get("lang"):
        yield "the page has no language"
    for landmark in ("main", "header", "footer"):
        if (count := len(list(page.iterate(landmark)))) != 1:
            yield f"there are {count} elements {landmark}"
    names = Counter(map(page.name_of, page.iterate("nav")))
    yield from (f"{count} navigations are named {name!r}" for name, count in names.items() if count > 1)
    for element in page.iterate():
        if int(element.attrib.get("tabindex", "0")) > 0:
            yield f"{element.tag} changes the order of focus"


def _find_faulty_headings(page: PageMarkup) -> Iterator[str]:
    (title,) = page.iterate("title")
    headings = list(page.iterate(*_HEADINGS))
    yield from (f"a heading {each.tag} is empty" for each in headings if not text_of(each))
    first = [each for each in headings if each.tag == "h1"]
    if len(first) != 1:
        yield f"there are {len(first)} headings of level 1"
    elif text_of(first[0]) not in text_of(title):
        yield f"the title {text_of(title)!r} does not have the heading {text_of(first[0])!r}"
    levels = [int(each.tag[1]) for each in headings]
    for heading, before, level in zip(headings, [1, *levels], levels, strict=False):
        if level > before + 1:
            yield f"the heading {text_of(heading)!r} of level {level} follows one of level {before}"


def _find_unnamed_elements(page: PageMarkup) -> Iterator[str]:
    for element in page.iterate("a", "button", "nav", "select", "textarea", "input", "summary", "progress"):
        if element.attrib.get("type") != "hidden" and not page.name_of(element):
            yield f"{element.tag} {dict(element.attrib)} has no name"
    for element in page.iterate("input"):
        if element.attrib.get("type") == "radio":
            groups = [each for each in page.ancestors(element) if each.tag == "fieldset"]
            if not any(text_of(legend) for group in groups for legend in group.iter("legend")):
                yield f"the group of the option {element.attrib.get('id')} has no name"
    for element in page.iterate():
        is_picture = element.tag.endswith("svg") or element.tag == "img" or element.attrib.get("role") == "region"
        if is_picture and not (page.name_of(element) or element.attrib.get("alt")):
            yield f"{element.tag} {dict(element.attrib)} has no name"


def _find_faulty_tables(page: PageMarkup) -> Iterator[str]:
    for table in page.iterate("table"):
        caption = next(table.iter("caption"), None)
        if caption is None or not text_of(caption):
            yield "a table has no caption"
        for cell in table.iter("th"):
            if cell.attrib.get("scope") not in {"row", "col"}:
                yield f"the header cell {text_of(cell)!r} has no scope"


def _find_unsafe_markup(page: PageMarkup) -> Iterator[str]:
    """Find what the policy of the page would block, and what would load something from another host."""
    for element in page.iterate():
        for name, value in element.attrib.items():
            if name == "style" or name.startswith("on"):
                yield f"{element.tag} has the attribute {name}"
            if name in {"src", "action", "formaction", "data", "poster"} and not value.startswith("/"):
                yield f"{element.tag} {name} is {value!r}"
        if element.tag in {"script", "style"} and (element.text or "").strip():
            yield f"{element.tag} has content"
        if element.tag == "link" and not element.attrib["href"].startswith("/"):
            yield f"a link element leads to {element.attrib['href']!r}"


def _find_faulty_error_summary(page: PageMarkup) -> Iterator[str]:
    """Find errors of fields that the summary at the top of the page does not lead to."""
    invalid = {each.attrib.get("id") for each in page.iterate() if each.attrib.get("aria-invalid") == "true"}
    summary = next((each for each in page.iterate("div") if each.attrib.get("role") == "alert"), None)
    (title,) = page.iterate("title")
    if summary is None:
        yield from (f"the error of {field} is in no summary" for field in invalid)
        return
    if "autofocus" not in summary.attrib or summary.attrib.get("tabindex") != "-1":
        yield "the summary of errors does not get the focus"
    heading = next(summary.iter("h2"), None)
    if heading is None or page.name_of(summary) != text_of(heading):
        yield "the summary of errors is not named by its heading"
    if ":" not in text_of(title):
        yield "the title does not announce the errors"
    links = [each.attrib["href"][1:] for each in summary.iter("a")]
    if not links:
        yield "the summary of errors leads to no field"
    for target in map(page.find_by_id, links):
        if target is not None and target.tag not in _CONTROLS and "tabindex" not in target.attrib:
            yield f"the summary of errors leads to {target.tag} {target.attrib['id']}, which cannot have the focus"
    yield from (f"the error of {field} is not in the summary" for field in invalid if field not in links)


def find_reordered_texts(html: str, mark: str) -> list[str]:
    """Find blocks of text in which a mark that changes the direction could reorder what follows it."""
    page = PageMarkup(html)
    blocks = ("p", "li", "td", "th", "dd", "dt", "h1", "h2", "h3", "label", "legend", "caption", "button", "title")
    texts = (_ISOLATED.sub("", " ".join(_text_outside_isolates(block).split())) for block in page.iterate(*blocks))
    return [text for text in texts if text.rpartition(mark)[1] and not text.endswith(mark)]


def _text_outside_isolates(element: Element) -> str:
    if element.tag == "bdi":
        return ""
    return (element.text or "") + "".join(f"{_text_outside_isolates(each)}{each.tail or ''}" for each in element)
