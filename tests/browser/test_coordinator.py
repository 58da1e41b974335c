"""The whole job of a coordinator by keyboard alone, with and without scripts, in each language."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from api.console.languages import LANGUAGE_NAMES, load_translations
from stafett.domain.export import Locale
from stafett.domain.reporting_period import OSLO
from stafett.testing import ActivityFactory, Tenant
from tests.support.fixture_types import RunWorker
from tests.support.keyboard import Keyboard


@pytest.fixture(params=[False, True], ids=["without-scripts", "with-scripts"])
def javascript(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Coordinator(Keyboard):
    """A coordinator who has only a keyboard, and uses the console in one of its languages."""

    def __init__(self, page: Page, language: Locale) -> None:
        super().__init__(page, "http://127.0.0.1:", "data:")
        self._language = language
        self._catalogue = load_translations(language)
        self.update_link = self.words("Update")

    def words(self, message: str, **values: object) -> str:
        """Return a text of the templates in the coordinator's language."""
        return str(self._catalogue.gettext(message)) % values

    def count(self, singular: str, plural: str, number: int) -> str:
        return str(self._catalogue.ngettext(singular, plural, number)) % {"count": number}

    async def sign_in(self, origin: str, address: str) -> None:
        await self.page.goto(f"{origin}/console")
        if self._language != "nb":
            await self.press("link", LANGUAGE_NAMES[self._language])
        await self.press("link", re.compile("^" + self.words("Sign in with %(label)s", label="")))
        await self.press("button", address)
        await self.wait_for_heading(self.words("Start"))

    async def make_and_submit_report(self, year: int) -> None:
        words = self.words
        await self.press("link", words("New report"))
        await self.wait_for_heading(words("New report"))
        await self.focus(self.page.get_by_label(words("Period"), exact=True))
        await self.page.keyboard.type(words("The whole of %(year)s", year=year))
        await self.press("button", words("Check the report"))
        await self.wait_for_heading(words("Check the report %(period)s", period=year))
        await self.press("button", words("Make the report"))
        await self.wait_for_heading(words("Report %(period)s", period=year))
        await self.update_until(words("The report is ready."))
        async with self.page.expect_download() as download:
            await self.press("link", re.compile(words("Download %(name)s", name=".*xlsx")))
        assert (await (await download.value).path()).stat().st_size > 0
        await self.press("link", words("Versions, new version, and marking it as handed in"))
        await self.wait_for_heading(words("Report %(period)s", period=year))
        await self.type(words("Bufdir's reference, if there is one"), "27/1234")
        await self.press("button", words("Mark as handed in"))
        reference = words("Reference: %(reference)s", reference="27/1234")
        await expect(self.page.get_by_text(reference, exact=True)).to_be_visible()

    async def register_for_all(self, activity_factory: ActivityFactory, busy: Sequence[UUID]) -> None:
        words = self.words
        await self.press("link", words("Register for many"))
        await self.press("link", words("New registration"))
        await self.wait_for_heading(words("Register for many: the activity"))
        await self.type(words("Start: day and time"), "2.3.2026 kl. 10.00")
        starts_at = datetime(2026, 3, 2, 10, tzinfo=OSLO)
        for mentor in busy:
            activity_factory.create_activity(mentor, starts_at=starts_at)
        for label, value in (
            ("Duration in minutes", "60"),
            ("Participants", "5"),
            ("Of these, for the first time", "1"),
            ("Place", "Tromsø"),
        ):
            await self.type(words(label), value)
        await self.press("button", words("Choose peer mentors"))
        await self.wait_for_heading(words("Register for many: the peer mentors"))
        await self.press("button", words("Choose all that the search finds"))
        chosen = self.count("%(count)s peer mentor is chosen.", "%(count)s peer mentors are chosen.", 50)
        await expect(self.page.get_by_text(chosen)).to_be_visible()
        await self.press("button", words("Check the registration"))
        in_order = self.count("%(count)s is in order.", "%(count)s are in order.", 45)
        await expect(self.page.get_by_text(in_order)).to_be_visible()
        await self.press(
            "button", self.count("Register for %(count)s peer mentor", "Register for %(count)s peer mentors", 45)
        )
        await self.update_until(words("Registered, with failures"))

    async def correct_failed(self) -> None:
        words = self.words
        await self.press("link", words("Correct the failed"))
        await self.wait_for_heading(words("Correct the failed"))
        fields = self.page.get_by_label(words("Start: day and time"))
        assert await fields.count() == 5
        for index in range(5):
            await self.focus(fields.nth(index))
            await self.page.keyboard.type("07.03.2026 10:00")  # Tab has selected the start that failed
        await self.press("button", words("Register the corrected"))
        await self.update_until(words("All registered"))


@pytest.mark.parametrize("language", ["nb", "nn", "en"])
async def test_coordinator_does_the_whole_job_by_keyboard(
    page: Page,
    origin: str,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    language: Locale,
) -> None:
    year = datetime.now(OSLO).year - 1
    mentors = [activity_factory.create_mentor(f"Likeperson {number:02}") for number in range(50)]
    activity_factory.create_activity(mentors[0], starts_at=datetime(year, 3, 2, 10, tzinfo=OSLO))
    user = Coordinator(page, language)
    async with run_worker():
        await user.sign_in(origin, f"coordinator@{tenant.org_id}.example")
        await user.make_and_submit_report(year)
        await user.register_for_all(activity_factory, mentors[:5])
        await user.correct_failed()
    assert user.complaints == []
