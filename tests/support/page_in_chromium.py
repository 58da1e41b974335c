"""Checks of a page in Chromium that its markup does not show: axe, layout, focus, and what the page loads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import ConsoleMessage, Page, Request, ViewportSize, expect

NARROW, WIDE, _HEIGHT = 320, 1280, 900
"""The narrowest supported width, to which WCAG's 400 % zoom of the wide one corresponds."""

SCHEMES: Sequence[Literal["light", "dark"]] = ("light", "dark")
_RUN_AXE = """options => axe.run(document, {...options, resultTypes: ["violations"], preload: false}).then(results =>
    results.violations.flatMap(violation => violation.nodes.map(node => `${violation.id}: ${node.html}`)))"""
_CONTRAST = "color-contrast"
"""The rule of axe that takes longer than all others."""

_RUN_AXE_ON_NEW_COLOURS = """async ([rule, known]) => {
    const grounds = new Map(), elements = new Map();
    const findGround = element => {
        if (!element) return "";
        if (!grounds.has(element)) {
            const colour = getComputedStyle(element).backgroundColor;
            grounds.set(element, colour === "rgba(0, 0, 0, 0)" ? findGround(element.parentElement) : colour);
        }
        return grounds.get(element);
    };
    for (const element of document.body.querySelectorAll("*")) {
        if (![...element.childNodes].some(each => each.nodeType === Node.TEXT_NODE && each.data.trim())) continue;
        const style = getComputedStyle(element);
        const look = [style.color, findGround(element), style.fontSize, style.fontWeight, style.opacity].join(" ");
        if (!known.includes(look)) elements.set(look, element);
    }
    if (!elements.size) return [[], []];
    const context = {include: [...elements.values()].map(each => [each])};
    const results = await axe.run(context, {runOnly: [rule], resultTypes: ["violations"], preload: false});
    const nodes = results.violations.flatMap(violation => violation.nodes);
    return [nodes.map(node => `${rule}: ${node.html}`), [...elements.keys()]];
}"""
_FIND_OVERFLOW = """textSize => {
    const root = document.documentElement;
    root.style.fontSize = textSize;
    const width = root.clientWidth, excess = root.scrollWidth - width;
    if (excess <= 0) {
        root.style.fontSize = "";
        return [];
    }
    const wide = [...document.body.querySelectorAll("*")].filter(each =>
        each.getBoundingClientRect().right > width && !each.closest(".scroll"));
    root.style.fontSize = "";
    return [`the page is ${excess} px too wide with ${textSize} text`,
            ...wide.map(each => each.outerHTML.slice(0, 99)).slice(-3)];
}"""
_FIND_UNSEEN_FOCUS = """() => {
    const fields = "a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0']";
    return [...document.querySelectorAll(fields)].flatMap(each => {
        each.focus({preventScroll: true});
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

    VIEWPORT: ClassVar[ViewportSize] = {"width": WIDE, "height": _HEIGHT}
    """The size with which the tab is opened."""
    INIT_SCRIPT: ClassVar[str] = AXE_SCRIPT
    """What the tab runs before each page, which is cheaper than to send it to each."""

    def __init__(self, page: Page, origin: str, known_colours: set[str]) -> None:
        self.page = page
        self._origin = origin
        self._known_colours = known_colours
        self._width = WIDE
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
        if not await self.page.locator("[name=form_token]").count():
            await self.open("/console/sessions")
        async with self.page.expect_navigation():
            await self.page.evaluate(_SEND_FORM, [path, is_upload, dict(fields), file])

    async def examine_looks(self) -> list[str]:
        """Examine the layout at both widths, with axe at one of them, and the contrast of colours in light and dark.

        Of texts with the same colours and size, axe examines the contrast of one. The width with which a page ends is
        that with which the next one begins.
        """
        problems = await self._examine_layout()
        await self._set_width(NARROW if self._width == WIDE else WIDE)
        problems += await self._examine_layout()
        problems += await self._run_axe({"rules": {_CONTRAST: {"enabled": False}}})
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            problems += [f"{each} in {scheme}" for each in await self._examine_new_colours()]
        return problems + self._take_complaints()

    async def examine_all_looks(self) -> list[str]:
        """Examine the layout at both widths, and run all rules of axe at both in light and dark."""
        problems = list[str]()
        for width in (WIDE, NARROW):
            await self._set_width(width)
            problems += await self._examine_layout()
            for scheme in SCHEMES:
                await self.page.emulate_media(color_scheme=scheme)
                problems += [f"{each} at {width} px in {scheme}" for each in await self._run_axe({})]
        return problems + self._take_complaints()

    async def _set_width(self, width: int) -> None:
        if width != self._width:
            await self.page.set_viewport_size({"width": width, "height": _HEIGHT})
            self._width = width

    async def _examine_layout(self) -> list[str]:
        """Examine the layout, of the wide window with text of twice the size."""
        problems: list[str] = await self.page.evaluate(_FIND_OVERFLOW, "200%" if self._width == WIDE else "100%")
        return problems

    async def _examine_new_colours(self) -> list[str]:
        """Run the rule about contrast on one text of each combination of colours that no earlier page had."""
        problems, colours = await self.page.evaluate(_RUN_AXE_ON_NEW_COLOURS, [_CONTRAST, sorted(self._known_colours)])
        self._known_colours.update(colours)
        return [str(each) for each in problems]

    async def _run_axe(self, options: Mapping[str, Any]) -> list[str]:
        violations: list[str] = await self.page.evaluate(_RUN_AXE, dict(options))
        return violations

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

    async def save_pictures(self, folder: Path, name: str) -> None:
        """Save pictures of the whole page, wide and narrow, in light and dark."""
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            for width in (WIDE, NARROW):
                await self._set_width(width)
                await self.page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
