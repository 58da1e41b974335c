"""Checks of a page in Chromium that its markup does not show: axe, layout, focus, and what the page loads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import ConsoleMessage, Page, Request, expect

NARROW, WIDE = 320, 1280
"""The narrowest supported width, to which WCAG's 400 % zoom of the wide one corresponds."""

_COLOURS: Mapping[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
_WORDS: Mapping[str, Any] = {
    "runOnly": {"type": "tag", "values": ["cat.language", "cat.name-role-value", "cat.text-alternatives", "cat.forms"]}
}
_RUN_AXE = """options => axe.run(document, {...options, resultTypes: ["violations"]}).then(results =>
    results.violations.flatMap(violation => violation.nodes.map(node => `${violation.id}: ${node.html}`)))"""
_FIND_OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    const excess = document.documentElement.scrollWidth - width;
    if (excess <= 0) return [];
    const wide = [...document.body.querySelectorAll("*")].filter(each =>
        each.getBoundingClientRect().right > width && !each.closest(".scroll"));
    return [`the page is ${excess} px too wide`, ...wide.map(each => each.outerHTML.slice(0, 99)).slice(-3)];
}"""
_SET_TEXT_SIZE = "size => { document.documentElement.style.fontSize = size }"
_FIND_UNSEEN_FOCUS = """() => {
    const fields = "a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0']";
    return [...document.querySelectorAll(fields)].flatMap(each => {
        each.focus();
        const style = getComputedStyle(each), box = each.getBoundingClientRect();
        const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        if (document.activeElement === each && isSeen && box.width > 1 && box.height > 1) return [];
        return [`the focus of ${each.outerHTML} cannot be seen`];
    });
}"""
_FOLLOW_ERROR_LINKS = """async () => {
    const summary = document.querySelector("main [role=alert]");
    if (!summary) return [];
    const problems = [];
    for (const link of summary.querySelectorAll("a")) {
        link.click();
        await scheduler.yield();
        const target = link.hash.slice(1);
        if (document.activeElement.id !== target) problems.push(`${link.hash} does not move the focus to its field`);
    }
    return problems;
}"""
_SEND_FORM = """([path, isUpload, fields, file]) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: path, enctype: isUpload ? "multipart/form-data" : ""});
    const token = document.querySelector("[name=form_token]").value;
    for (const [name, value] of Object.entries({...fields, form_token: token})) {
        form.append(Object.assign(document.createElement("input"), {name, value}));
    }
    if (isUpload) {
        const input = Object.assign(document.createElement("input"), {type: "file", name: "file"});
        const files = new DataTransfer();
        if (file) files.items.add(new File([file], "file"));
        input.files = files.files;
        form.append(input);
    }
    document.body.append(form);
    form.submit();
}"""


class PageExaminer:
    """Examines pages in one tab, and collects what the browser complains about in the meantime."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self._origin = origin
        self._complaints: list[str] = []
        page.on("console", self._record_message)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("request", self._record_request)

    def _record_message(self, message: ConsoleMessage) -> None:
        is_status = "the server responded with a status of" in message.text
        is_of_page = is_status and "/static/" not in message.location["url"]
        if message.type == "error" and not is_of_page:
            self._complaints.append(message.text)

    def _record_request(self, request: Request) -> None:
        if not request.url.startswith(self._origin):
            self._complaints.append(f"a request to {request.url}")

    async def open(self, path: str) -> None:
        await self.page.goto(self._origin + path)

    async def send_form(self, path: str, fields: Mapping[str, str], file: str, *, is_upload: bool) -> None:
        """Send a form from a page that has a token, as a form of that page."""
        await self.open("/console/sessions")
        async with self.page.expect_navigation():
            await self.page.evaluate(_SEND_FORM, [path, is_upload, dict(fields), file])

    async def examine_words(self) -> list[str]:
        """Run the rules of axe about names and languages, the only ones that the words of a page can break."""
        return await self._run_axe(_WORDS)

    async def examine_layout(self) -> list[str]:
        """Examine the layout at 320 px and with text of twice the size."""
        await self.page.set_viewport_size({"width": WIDE, "height": 900})
        await self.page.evaluate(_SET_TEXT_SIZE, "200%")
        problems = [f"{each} with large text" for each in await self.page.evaluate(_FIND_OVERFLOW)]
        await self.page.evaluate(_SET_TEXT_SIZE, "")
        await self.page.set_viewport_size({"width": NARROW, "height": 900})
        problems += await self.page.evaluate(_FIND_OVERFLOW)
        return problems + self._take_complaints()

    def _take_complaints(self) -> list[str]:
        complaints, self._complaints = self._complaints, []
        return complaints

    async def examine_focus(self) -> list[str]:
        """Examine where errors lead, and whether the focus can be seen everywhere."""
        summary = self.page.locator("main [role=alert]")
        if await summary.count():
            await expect(summary).to_be_focused()
        problems: list[str] = await self.page.evaluate(_FOLLOW_ERROR_LINKS)
        await self.page.keyboard.press("Tab")  # focus rings are for users of the keyboard
        problems += await self.page.evaluate(_FIND_UNSEEN_FOCUS)
        return problems

    async def examine_structure_and_colours(self) -> list[str]:
        """Run the whole of axe on the narrow page in dark, and its rules about colours on the wide one in light."""
        await self.page.emulate_media(color_scheme="dark")
        problems = [f"{each} in dark" for each in await self._run_axe({})]
        await self.page.emulate_media(color_scheme="light")
        await self.page.set_viewport_size({"width": WIDE, "height": 900})
        return problems + await self._run_axe(_COLOURS)

    async def save_pictures(self, folder: Path, name: str) -> None:
        """Save pictures of the whole page, wide and narrow, in light and dark."""
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            for width in (WIDE, NARROW):
                await self.page.set_viewport_size({"width": width, "height": 900})
                await self.page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
        await self.page.emulate_media(color_scheme="light")

    async def _run_axe(self, options: Mapping[str, Any]) -> list[str]:
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE_SCRIPT)
        violations: list[str] = await self.page.evaluate(_RUN_AXE, dict(options))
        return violations
