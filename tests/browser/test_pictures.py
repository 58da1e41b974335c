"""The pictures of docs/console.md and README.md.

    STAFETT_PICTURES=docs/images .venv/bin/python -m pytest tests/browser/test_pictures.py

writes them to the folder. Without the variable, the test only checks that they can be made, and that the documents
show each.
"""

import os
import re
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from playwright.async_api import Page, expect

from stafett.domain.membership import Role
from stafett.domain.reporting_period import OSLO
from stafett.seed.insertion import SeedRequest, insert_seed_data
from stafett.storage.files import FileStorage
from stafett.testing import Tenant, create_operator, create_tenant
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import HostileSignIn

THIS_YEAR = datetime.now(OSLO).year


@pytest.fixture
def tenant(owner_url: str, storage: FileStorage) -> Tenant:
    """An organisation with two years of activities, whose mentors belong to three local branches."""
    tenant = create_tenant(owner_url, "nhf")
    for year in (THIS_YEAR - 1, THIS_YEAR):
        insert_seed_data(SeedRequest(org_id=tenant.org_id, year=year, activities=600, mentors=60), owner_url, storage)
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "UPDATE peer_mentors SET branch = (ARRAY['Bergen', 'Oslo', 'Tromsø'])[1 + abs(hashtext(id::text)) %% 3]"
            " WHERE org_id = %s",
            [tenant.org_id],
        )
    return tenant


@pytest.fixture
def operator_id(owner_url: str, issuer_one: HostileSignIn) -> UUID:
    operator = create_operator(owner_url)
    issuer_one.users = [*issuer_one.users, issuer_one.users[0]._replace(id=operator, email="operator@stafett.example")]
    return operator


@pytest.fixture
def pictures(tmp_path: Path, project: Path) -> Path:
    folder = os.environ.get("STAFETT_PICTURES")
    path = project / folder if folder else tmp_path / "pictures"
    path.mkdir(exist_ok=True)
    return path


class Photographer:
    """Opens the pages in a window of one size, and takes a picture of each."""

    def __init__(self, page: Page, origin: str, folder: Path) -> None:
        self.page, self.origin, self.folder = page, origin, folder

    async def sign_in(self, address: str) -> None:
        await self.page.context.clear_cookies()
        await self.page.set_viewport_size({"width": 1000, "height": 720})
        await self.page.goto(f"{self.origin}/console/login/one?next=/console")
        await self.page.get_by_role("button", name=address).click()
        await self.page.goto(f"{self.origin}/console?lang=en")

    async def press(self, name: str | re.Pattern[str], role: str = "button") -> None:
        await self.page.get_by_role(role, name=name).first.click()  # type: ignore[arg-type]  # a literal of Playwright

    async def take(self, name: str, heading: str | re.Pattern[str] | None = None) -> None:
        """Take a picture from the top of the window, or from a heading of the page."""
        if heading is None:
            await self.page.evaluate("scrollTo(0, 0)")
        else:
            await self.page.get_by_role("heading", name=heading).evaluate("element => element.scrollIntoView()")
        await self.page.screenshot(path=self.folder / f"console-{name}.png")


async def take_coordinators_pictures(photographer: Photographer) -> None:
    page, year = photographer.page, THIS_YEAR - 1
    await page.goto(f"{photographer.origin}/console/exports/new")
    await photographer.take("new-report")
    await photographer.press("Check the report")
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Check the report {year}")
    await photographer.take("check")
    await photographer.press("Make the report")
    await expect(page.get_by_text("The report is ready.").first).to_be_visible()
    await expect(page.get_by_role("link", name=re.compile("^Download .*xlsx"))).to_be_visible()
    await photographer.take("report")
    await photographer.press(re.compile("^Versions, new version"), "link")
    await page.get_by_label("Bufdir's reference, if there is one").fill("27/1234")
    await photographer.press("Mark as handed in")
    await expect(page.get_by_text("Reference: 27/1234", exact=True)).to_be_visible()
    await photographer.take("versions")
    await page.goto(f"{photographer.origin}/console")
    await photographer.take("start")


async def take_pictures_of_a_registration(photographer: Photographer, occupied: datetime) -> None:
    page = photographer.page
    await page.goto(f"{photographer.origin}/console/bulk/new")
    await page.get_by_label("Start: day and time").fill(occupied.strftime("%Y-%m-%dT%H:%M"))
    for label, value in (("Duration in minutes", "60"), ("Participants", "8"), ("Of these, for the first time", "2")):
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_label("Place", exact=True).fill("Oslo")
    await photographer.press("Choose peer mentors")
    await page.get_by_label("Local branch").select_option("Oslo")
    await photographer.press("Choose all that the search finds")
    await expect(page.get_by_text("Active peer mentors of Oslo")).to_be_visible()
    await photographer.take("mentors")
    await photographer.press("Check the registration")
    await photographer.press(re.compile("^Register for"))
    await expect(page.get_by_text("Registered, with failures").first).to_be_visible()
    await expect(page.get_by_role("link", name="Correct the failed")).to_be_visible()
    await photographer.take("registration")


async def take_administrators_pictures(photographer: Photographer) -> None:
    page, path = photographer.page, "/console/admin/mapping"
    await page.goto(f"{photographer.origin}/console/admin")
    await photographer.take("administration")
    document = await (await page.request.get(f"{photographer.origin}{path}/versions/1/document.json")).text()
    await page.goto(f"{photographer.origin}{path}/draft")
    draft = {"name": "draft.json", "mimeType": "application/json", "buffer": document.encode()}
    await page.get_by_label("file", exact=False).set_input_files(draft)  # type: ignore[arg-type]  # a typed dictionary
    await photographer.press("Check the draft")
    await expect(page.get_by_role("table").first).to_be_visible()
    await photographer.take("draft")


def list_pictures(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def list_named_pictures(project: Path) -> set[str]:
    texts = [(project / name).read_text(encoding="utf-8") for name in ("docs/console.md", "README.md")]
    return {name for text in texts for name in re.findall(r"\]\([\w/]*?(console-[\w-]+\.png)\)", text)}


@pytest.mark.usefixtures("operator_id")
async def test_every_picture_of_the_documents_is_made(
    page: Page,
    origin: str,
    tenant: Tenant,
    owner_url: str,
    run_worker: RunWorker,
    pictures: Path,
    project: Path,
) -> None:
    with psycopg.connect(owner_url) as owner:
        query = "SELECT a.starts_at FROM activities a JOIN peer_mentors m ON m.id = a.mentor_id"
        row = owner.execute(
            f"{query} WHERE a.org_id = %s AND m.branch = 'Oslo' AND m.active LIMIT 1", [tenant.org_id]
        ).fetchone()
    assert row is not None
    photographer = Photographer(page, origin, pictures)
    async with run_worker():
        await photographer.sign_in(f"{Role.COORDINATOR}@{tenant.org_id}.example")
        await take_coordinators_pictures(photographer)
        await take_pictures_of_a_registration(photographer, row[0].astimezone(OSLO))
    await photographer.sign_in(f"{Role.ADMIN}@{tenant.org_id}.example")
    await take_administrators_pictures(photographer)
    await photographer.sign_in(f"{Role.AUDITOR}@{tenant.org_id}.example")
    await page.goto(f"{origin}/console/audit")
    await photographer.take("audit")
    await photographer.sign_in("operator@stafett.example")
    await page.goto(f"{origin}/console/operator?organisation={tenant.org_id}")
    await photographer.take("operator")
    assert list_pictures(pictures) == list_named_pictures(project) == list_pictures(project / "docs" / "images")
