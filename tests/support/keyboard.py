"""A user of the console's pages in Chromium who has only a keyboard."""

import re

from playwright.async_api import ConsoleMessage, ElementHandle, Error, Locator, Page, expect

from stafett.testing import wait_until

MAX_TABS = 300
_FIND_STATE = "each => each === document.activeElement ? 'focused' : each.isConnected ? 'elsewhere' : 'gone'"


class Keyboard:
    """A user who has only a keyboard, and watches for errors of the pages and requests to other hosts."""

    def __init__(self, page: Page, *hosts: str) -> None:
        self.page = page
        self.update_link = "Oppdater"
        self.complaints: list[str] = []
        page.on("console", self._record_message)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda each: None if each.url.startswith(hosts) else self.complaints.append(each.url))

    def _record_message(self, message: ConsoleMessage) -> None:
        if not message.location["url"].endswith("/favicon.ico"):  # the development issuer has none
            self.complaints.append(message.text)

    async def focus(self, target: Locator) -> None:
        """Press Tab until the target has the focus."""
        element = await target.element_handle()
        for _ in range(MAX_TABS):
            match await self._find_state(element):
                case "focused":
                    return
                case "gone":
                    element = await target.element_handle()
                case _:
                    await self.page.keyboard.press("Tab")
        raise AssertionError(f"{target} cannot be reached by keyboard")

    @staticmethod
    async def _find_state(element: ElementHandle) -> str:
        """Return where the element is. Finding it again for each key would compute the names of all elements."""
        try:
            return str(await element.evaluate(_FIND_STATE))
        except Error:  # the page has been replaced by another one
            return "gone"

    async def press(self, role: str, name: str | re.Pattern[str], key: str = "Enter") -> None:
        target = self.page.get_by_role(role, name=name)  # type: ignore[arg-type]  # a literal of Playwright
        await self.focus(target.first)
        await self.page.keyboard.press(key)

    async def type(self, label: str, text: str) -> None:
        await self.focus(self.page.get_by_label(label, exact=True))
        await self.page.keyboard.type(text)

    async def wait_for_heading(self, text: str) -> None:
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    async def update_until(self, text: str) -> None:
        """Wait until the page states the text: by itself if it has a script, or else with its link."""
        target = self.page.get_by_text(text, exact=True).first
        link = self.page.get_by_role("link", name=self.update_link)

        async def update() -> bool:
            if not await target.count() and await link.count():
                await self.page.reload()
            return bool(await target.count())

        await wait_until(update, bool)
