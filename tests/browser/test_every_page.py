"""Every page of the console in Chromium, in each language: axe, layout, focus, and what pages load."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack import RunningServers
from stafett.domain.export import Locale
from stafett.domain.membership import Role
from tests.support.console_pages import (
    PageVisitor,
    Visit,
    failing_page,
    list_answer_visits,
    list_fault_visits,
    list_page_visits,
)
from tests.support.console_world import ConsoleWorld, open_world
from tests.support.page_in_chromium import PageExaminer
from tests.support.stack_settings import create_settings

_PICTURES = os.environ.get("PAGE_PICTURES")
"""A folder for pictures of all pages, to look at them."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(
    stack: RunningServers, issuer: DevIssuer, audit_key: DevAuditKey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ConsoleWorld]:
    settings = create_settings(stack, issuer, audit_key)
    async with open_world(settings, tmp_path_factory.mktemp("issuer"), write_long_text) as world:
        yield world


def write_long_text(text: str) -> str:
    """Write a text with a word that does not fit on a line, except for pictures."""
    return text if _PICTURES else f"{text} {'Lokallag' * 9}"


class _Examination:
    """One tab for each role, with the session of the user who visits pages over HTTP."""

    def __init__(self, chromium: Browser, world: ConsoleWorld, visitor: PageVisitor) -> None:
        self._chromium, self._world, self._visitor = chromium, world, visitor
        self._examiners = dict[Role | None, PageExaminer]()
        self._known_colours = set[str]()

    async def open(self, visit: Visit) -> PageExaminer:
        examiner = await self._find_examiner(visit.role)
        async with failing_page(visit.failure):
            if visit.fields is None:
                await examiner.open(visit.path)
            else:
                await examiner.send_form(visit.path, visit.fields, visit.file.decode(), is_upload=visit.is_upload)
        return examiner

    async def _find_examiner(self, role: Role | None) -> PageExaminer:
        if role not in self._examiners:
            context = await self._chromium.new_context(viewport=PageExaminer.VIEWPORT)
            await context.add_init_script(PageExaminer.INIT_SCRIPT)
            context.set_default_timeout(120_000)  # no test asserts a duration
            for name, value in (await self._visitor.list_cookies(role)).items():
                await context.add_cookies([{"name": name, "value": value, "url": self._world.origin}])
            self._examiners[role] = PageExaminer(await context.new_page(), self._world.origin, self._known_colours)
        return self._examiners[role]


async def test_every_page_is_accessible_and_loads_nothing_from_other_hosts(
    chromium: Browser, world: ConsoleWorld
) -> None:
    assert await find_problems(chromium, world, "nb", all_looks=False) == {}


@pytest.mark.soak
@pytest.mark.parametrize("language", ["nb", "nn", "en"])
async def test_every_page_is_accessible_in_each_language_at_each_width_in_light_and_dark(
    chromium: Browser, world: ConsoleWorld, language: Locale
) -> None:
    assert await find_problems(chromium, world, language, all_looks=True) == {}


async def find_problems(
    chromium: Browser, world: ConsoleWorld, language: Locale, *, all_looks: bool
) -> dict[str, list[str]]:
    """Examine all pages, and return what is wrong with them."""
    problems = dict[str, list[str]]()
    async with AsyncExitStack() as stack:
        visitor = PageVisitor(world, language, stack)
        pages = await visitor.fetch_pages(list_page_visits(world))
        visits = [visit for visit, _ in pages] + list_fault_visits(pages) + list_answer_visits(world)
        examination = _Examination(chromium, world, visitor)
        for visit in visits:
            examiner = await examination.open(visit)
            found = await examiner.examine_focus()
            found += await (examiner.examine_all_looks() if all_looks else examiner.examine_looks())
            if await examiner.page.locator("html").get_attribute("lang") != language:
                found.append("the page has another language")
            if _PICTURES:
                await examiner.save_pictures(Path(_PICTURES), visit.name)
            if found:
                problems[visit.name] = found
    return problems
