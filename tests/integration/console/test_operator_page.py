"""The operator's pages: the jobs of all organisations, and acting on several of them."""

import re
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.testing import Tenant, create_operator
from tests.support.console_jobs import start_report
from tests.support.sign_in import ConsoleBrowser, HostileSignIn

OpenBrowser = Callable[[], ConsoleBrowser]
PATH = "/console/operator"


@pytest.fixture
def operator_id(owner_url: str, issuer_one: HostileSignIn) -> UUID:
    operator = create_operator(owner_url)
    issuer_one.users = [*issuer_one.users, issuer_one.users[0]._replace(id=operator, email=f"{operator}@example.org")]
    return operator


async def post(browser: ConsoleBrowser, path: str, jobs: list[str], **fields: str) -> tuple[int, str]:
    body = [("form_token", await browser.get_form_token()), *fields.items(), *(("jobs", job) for job in jobs)]
    content = "&".join(f"{name}={value}" for name, value in body)
    headers = {"Origin": browser.origin, "Content-Type": "application/x-www-form-urlencoded"}
    response = await browser.http.post(path, content=content, headers=headers)
    return response.status_code, response.text


async def test_operator_cancels_and_retries_chosen_jobs_of_several_organisations(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant, operator_id: UUID, owner_url: str
) -> None:
    first, second, operator = open_browser(), open_browser(), open_browser()
    await first.sign_in(tenant.coordinator)
    await second.sign_in(other_tenant.coordinator, "two")
    jobs = [(await start_report(browser)).rpartition("/")[2] for browser in (first, second)]
    spared = (await start_report(first)).rpartition("/")[2]
    await operator.sign_in(operator_id)
    page = (await operator.get(PATH)).text
    assert all(job in page for job in (*jobs, spared))
    assert "/workflows/bufdir-export%2F" + jobs[0] in page

    status, check = await post(operator, f"{PATH}/check", jobs, kind="export", action="cancel")
    assert status == 200
    assert re.findall(r'name="jobs" value="([^"]+)"', check) == jobs
    assert spared not in check
    with psycopg.connect(owner_url) as connection:
        query = "SELECT count(*) FROM exports WHERE id = ANY(%s) AND status = 'initialised'"
        assert connection.execute(query, [jobs]).fetchone() == (2,)

    fields = dict(re.findall(r'name="(attempt-[^"]+)" value="(\d+)"', check))
    for _ in range(2):  # the second press changes nothing
        status, result = await post(operator, PATH, jobs, kind="export", action="cancel", **fields)
        assert (status, result.count("Being cancelled")) == (200, 2)
    with psycopg.connect(owner_url) as connection:
        rows = connection.execute(
            "SELECT org_id, actor, subject_id::text FROM audit_events WHERE event = 'cancel_requested'"
            " AND subject_id = ANY(%s::uuid[])",
            [[*jobs, spared]],
        ).fetchall()
    actor = f"user:{operator_id}"
    assert sorted(rows) == sorted([(tenant.org_id, actor, jobs[0]), (other_tenant.org_id, actor, jobs[1])])
    status, result = await post(operator, PATH, [spared], kind="export", action="retry", **{f"attempt-{spared}": "1"})
    assert "Not possible in its state" in result


async def test_empty_or_invalid_selection_is_never_everything(
    open_browser: OpenBrowser, tenant: Tenant, operator_id: UUID, owner_url: str
) -> None:
    coordinator, operator = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    job = (await start_report(coordinator)).rpartition("/")[2]
    await operator.sign_in(operator_id)
    status, page = await post(operator, f"{PATH}/check", [], kind="export", action="cancel")
    assert status == 422
    assert "Choose at least one job." in page
    for jobs in ([], [""], ["x"], ["*"]):
        for path in (PATH, f"{PATH}/check"):
            status, _ = await post(operator, path, jobs, kind="export", action="cancel")
            assert status == 422, (path, jobs)
    status, _ = await post(operator, f"{PATH}/check", [str(uuid4())], kind="export", action="cancel")
    assert status == 404
    status, _ = await post(operator, f"{PATH}/check", [job], kind="export", action="delete")
    assert status == 422
    assert (await operator.post(PATH, {"jobs": job, "kind": "export", "action": "cancel"})).status_code == 403
    with psycopg.connect(owner_url) as connection:
        status_of_job = connection.execute("SELECT status FROM exports WHERE id = %s", [job]).fetchone()
    assert status_of_job == ("initialised",)


async def test_list_is_filtered_by_kind_state_organisation_and_age(
    open_browser: OpenBrowser, tenant: Tenant, operator_id: UUID
) -> None:
    coordinator, operator = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    job = (await start_report(coordinator)).rpartition("/")[2]
    await operator.sign_in(operator_id)
    own = f"organisation={tenant.org_id}"
    assert job in (await operator.get(f"{PATH}?{own}&status=initialised")).text
    for query in (f"{own}&status=failed", f"{own}&hours=1", f"{own}&kind=batch", f"{own}&kind=reexport"):
        assert "There are no such jobs." in (await operator.get(f"{PATH}?{query}")).text, query
    for query in ("status=accepted", "kind=x", "hours=0", "hours=x", "organisation=<script>"):
        page = await operator.get(f"{PATH}?{query}")
        assert page.status_code == 422, query
        assert "<script>" not in page.text.split("<main")[1]


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.ADMIN, Role.AUDITOR])
async def test_members_of_an_organisation_are_refused(browser: ConsoleBrowser, tenant: Tenant, role: Role) -> None:
    await browser.sign_in(tenant.users[role])
    assert (await browser.get(PATH)).status_code == 403
    for path in (PATH, f"{PATH}/check"):
        assert (await post(browser, path, [str(uuid4())], kind="export", action="cancel"))[0] == 403
    assert PATH not in (await browser.get("/console")).text
