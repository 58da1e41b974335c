"""The start page: the figures of a base year, beside what needs attention."""

import re
from datetime import UTC, datetime
from html import unescape

import psycopg
import pytest

from stafett.database.session import Database
from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.api_fixtures import ApiFixtures
from tests.support.sign_in import ConsoleBrowser


def read_table(page: str) -> list[list[str]]:
    """Read the cells of the table of figures, row by row."""
    table = page.split('id="figures"')[1].split("</table>", maxsplit=1)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", unescape(row)) for row in rows]


def read_bars(page: str, kind: str) -> list[float]:
    return [float(height) for height in re.findall(rf'<rect class="{kind}"[^>]* height="([0-9.]+)"', page)]


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.ADMIN, Role.AUDITOR])
async def test_figures_are_a_table_and_a_picture_of_the_same_numbers(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, role: Role
) -> None:
    mentors = [activity_factory.create_mentor(f"Likeperson {number}") for number in range(4)]
    for mentor in mentors[:3]:
        activity_factory.create_activity(mentor, starts_at=datetime(2025, 3, 1, 9, tzinfo=UTC))
    activity_factory.create_activity(
        mentors[3], starts_at=datetime(2025, 3, 31, 21, 30, tzinfo=UTC), activity_type="telefonsamtale"
    )
    activity_factory.create_activity(mentors[0], starts_at=datetime(2025, 3, 31, 22, 30, tzinfo=UTC))
    await browser.sign_in(tenant.users[role])
    page = (await browser.get("/console?year=2025")).text
    assert "4 of 5 activities count towards the grant." in page
    header, *months, total = read_table(page)
    assert header == ["Month", "All", "Conversation group", "Telephone conversation"]
    assert months[2] == ["March", "3 of 4", "3 of 3", "0 of 1"]
    assert months[3] == ["April", "1 of 1", "1 of 1", "\N{EN DASH}"]
    assert total == ["The whole year", "4 of 5", "4 of 4", "0 of 1"]
    countable, other = read_bars(page, "countable"), read_bars(page, "other")
    assert countable[2] == pytest.approx(3 * countable[3])
    assert countable[2] == pytest.approx(3 * other[2])
    assert sum(bar > 0 for bar in (*countable, *other)) == 3


async def test_year_without_activities_and_invalid_years(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    page = await browser.get("/console?year=2024")
    assert "The base year 2024" in page.text
    assert "No activities are registered in this year." in page.text
    for year in ("1", "99999", "x", "2024.5"):
        assert (await browser.get(f"/console?year={year}")).status_code == 422, year


async def test_figures_are_those_of_the_own_organisation(
    browser: ConsoleBrowser, other_tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor(), starts_at=datetime(2025, 3, 1, 9, tzinfo=UTC))
    await browser.sign_in(other_tenant.coordinator, "two")
    assert "No activities are registered in this year." in (await browser.get("/console?year=2025")).text


async def test_page_names_a_mapping_that_cannot_be_used(
    browser: ConsoleBrowser, tenant: Tenant, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("ALTER TABLE column_mappings DISABLE TRIGGER USER")
        connection.execute("DELETE FROM column_mappings WHERE org_id = %s", [tenant.org_id])
        connection.execute("ALTER TABLE column_mappings ENABLE TRIGGER USER")
    await browser.sign_in(tenant.coordinator)
    page = await browser.get("/console")
    assert page.status_code == 200
    assert "column layout cannot be used" in page.text


async def test_newest_failed_jobs_are_listed_with_the_number_of_all(
    browser: ConsoleBrowser, tenant: Tenant, owner_url: str, api_database: Database, worker_database: Database
) -> None:
    fixtures = ApiFixtures(owner_url, tenant, api_database, worker_database)
    exports = [fixtures.create_failed_export().id for _ in range(12)]
    report = fixtures.create_report()  # with a failed export of its own
    await browser.sign_in(tenant.coordinator)
    page = (await browser.get("/console")).text
    assert [export for export in exports if f"/console/exports/{export}" in page] == exports[3:]
    assert "These are the newest 10 of 13." in page
    assert page.count("These are the newest") == 1
    assert f'<a href="/console/reports/{report}">Report 2026</a>' in page
