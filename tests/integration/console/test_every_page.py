"""Every page of the console over HTTP: it is visited, its HTML is valid, and it reads in a sensible order."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from markupsafe import escape

from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack import RunningServers
from tests.support.console_pages import (
    ROUTES,
    PageVisitor,
    Visit,
    find_route,
    list_answer_visits,
    list_fault_visits,
    list_page_visits,
)
from tests.support.console_world import open_world
from tests.support.page_markup import PageMarkup, find_faults, find_reordered_texts
from tests.support.page_text import render_text
from tests.support.stack_settings import create_settings

_TEXTS = Path(__file__).parent / "page_texts"
_MUST_WRITE = os.environ.get("WRITE_PAGE_TEXTS") == "1"

MARK = "\N{RIGHT-TO-LEFT MARK}"
WRITTEN = set[str]()
Pages = list[tuple[Visit, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def visits(
    stack: RunningServers, issuer: DevIssuer, audit_key: DevAuditKey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[PageVisitor, Pages]]:
    """All pages in Bokmål."""
    settings = create_settings(stack, issuer, audit_key)
    async with open_world(settings, tmp_path_factory.mktemp("issuer")) as world, AsyncExitStack() as exit_stack:
        visitor = PageVisitor(world, "nb", exit_stack)
        pages = await visitor.fetch_pages(list_page_visits(world))
        pages += await visitor.fetch_pages([*list_fault_visits(pages), *list_answer_visits(world)])
        assert len({visit.name for visit, _ in pages}) == len(pages)
        yield visitor, pages


async def test_every_route_is_visited(visits: tuple[PageVisitor, Pages]) -> None:
    visitor, pages = visits
    assert {route.path for route in ROUTES["GET"]} - visitor.answered == set()
    sent = {find_route("POST", form.action) for _, page in pages for form in PageMarkup(page).list_forms()}
    sent |= {find_route("POST", visit.path) for visit, _ in pages if visit.fields is not None}
    assert {route.path for route in ROUTES["POST"]} - sent == set()


async def test_html_of_every_page_is_valid_and_accessible(visits: tuple[PageVisitor, Pages]) -> None:
    faults = {visit.name: faults for visit, page in visits[1] if (faults := find_faults(page))}
    assert faults == {}


async def test_text_of_every_page_is_the_stored_one(visits: tuple[PageVisitor, Pages]) -> None:
    texts = {f"{visit.name}.txt": render_text(page) for visit, page in visits[1]}
    if _MUST_WRITE:
        write_texts(texts)
    stored = {path.name: path.read_text(encoding="utf-8") for path in _TEXTS.iterdir()}
    assert sorted(texts) == sorted(stored)
    assert {name: text for name, text in texts.items() if text != stored[name]} == {}


async def test_texts_of_users_are_shown_as_text_on_every_page(
    stack: RunningServers, issuer: DevIssuer, audit_key: DevAuditKey, tmp_path: Path
) -> None:
    settings = create_settings(stack, issuer, audit_key)
    async with open_world(settings, tmp_path, write_hostile_text) as world, AsyncExitStack() as exit_stack:
        visitor = PageVisitor(world, "nb", exit_stack)
        pages = await visitor.fetch_pages([*list_page_visits(world), *list_answer_visits(world)])
    faults = {visit.name: find_faults(page) + find_reordered_texts(page, MARK) for visit, page in pages}
    assert {name: found for name, found in faults.items() if found} == {}
    assert [visit.name for visit, page in pages if "<img" in page] == []
    texts = " ".join(page for _, page in pages)
    assert {text for text in WRITTEN if escape(write_hostile_text(text)[:80]) not in texts} == set()


def write_hostile_text(text: str) -> str:
    """Write a text that would be a script, and that turns the direction of what follows it."""
    WRITTEN.add(text)
    length = 32_000 if text in {"Første møte", "Tromsø kommune"} else 80
    return f"<script>x</script><img>{text}".ljust(length, "x") + MARK


def write_texts(texts: dict[str, str]) -> None:
    _TEXTS.mkdir(exist_ok=True)
    for path in _TEXTS.iterdir():
        path.unlink()
    for name, text in texts.items():
        (_TEXTS / name).write_text(text, encoding="utf-8")
