"""The operator's pages: the jobs of all organisations, and acting on several of them."""

import re
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.bulk.service import BulkService
from stafett.database.session import Database
from stafett.domain.bulk import BulkRequest
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport import ReexportRequest
from stafett.reports.reexports import ReexportService
from stafett.testing import Tenant, create_operator
from tests.support.api_fixtures import ApiFixtures
from tests.support.bulk import build_batch
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


def read_attempts(check: str) -> dict[str, str]:
    """Return the fields with the attempts that the page of the check has."""
    return dict(re.findall(r'name="(attempt-[^"]+)" value="(\d+)"', check))


def fetch_commands(owner_url: str, jobs: list[str]) -> list[tuple[str, str, str]]:
    """Load organisation, event and actor of the commands on the jobs."""
    with psycopg.connect(owner_url) as connection:
        query = (
            "SELECT org_id, event, actor FROM audit_events WHERE subject_id = ANY(%s::uuid[])"
            " AND event IN ('cancel_requested', 'retry_requested') ORDER BY org_id"
        )
        return connection.execute(query, [jobs]).fetchall()


@pytest.fixture
def create_failed(
    owner_url: str, tenant: Tenant, other_tenant: Tenant, api_database: Database, worker_database: Database
) -> Callable[[str], list[str]]:
    """Create a failed job of the kind in each of two organisations."""

    def create(kind: str) -> list[str]:
        all_fixtures = (ApiFixtures(owner_url, each, api_database, worker_database) for each in (tenant, other_tenant))
        if kind == "export":
            return [str(fixtures.create_failed_export().id) for fixtures in all_fixtures]
        if kind == "batch":
            return [str(fixtures.create_failed_batch()) for fixtures in all_fixtures]
        return [str(fixtures.create_failed_reexport()) for fixtures in all_fixtures]

    return create


@pytest.fixture
def accept_jobs(
    tenant: Tenant, other_tenant: Tenant, owner_url: str, api_database: Database, worker_database: Database
) -> Callable[[str], list[str]]:
    """Accept a batch or a re-export, which no worker runs, in each of two organisations."""

    def accept(kind: str) -> list[str]:
        jobs = list[str]()
        for each in (tenant, other_tenant):
            caller = Caller(user_id=each.coordinator, org_id=each.org_id, role=Role.COORDINATOR)
            if kind == "batch":
                request = BulkRequest.model_validate(build_batch(each.org_id, [uuid4()]))
                jobs.append(str(BulkService(api_database).accept(caller, request).batch.id))
            else:
                report = ApiFixtures(owner_url, each, api_database, worker_database).create_report()
                accepted = ReexportService(api_database).accept(caller, ReexportRequest(report_id=report))
                jobs.append(str(accepted.reexport.id))
        return jobs

    return accept


@pytest.mark.parametrize("kind", ["export", "batch"])
async def test_operator_retries_failed_jobs_of_several_organisations_once(
    open_browser: OpenBrowser,
    tenant: Tenant,
    other_tenant: Tenant,
    operator_id: UUID,
    owner_url: str,
    create_failed: Callable[[str], list[str]],
    kind: str,
) -> None:
    jobs, spared, operator = create_failed(kind), create_failed(kind), open_browser()
    await operator.sign_in(operator_id)
    _, check = await post(operator, f"{PATH}/check", jobs, kind=kind, action="retry")
    assert "Try 2 jobs again?" in check
    assert re.findall(r'name="jobs" value="([^"]+)"', check) == jobs
    assert fetch_commands(owner_url, [*jobs, *spared]) == []
    for _ in range(2):  # the second press starts nothing
        status, result = await post(operator, PATH, jobs, kind=kind, action="retry", **read_attempts(check))
        assert (status, result.count("Started again")) == (200, 2)
    actor = f"user:{operator_id}"
    expected = sorted((each.org_id, "retry_requested", actor) for each in (tenant, other_tenant))
    assert fetch_commands(owner_url, [*jobs, *spared]) == expected


@pytest.mark.parametrize("kind", ["batch", "reexport"])
async def test_operator_cancels_jobs_of_each_kind_with_one_event_for_each(
    open_browser: OpenBrowser,
    tenant: Tenant,
    other_tenant: Tenant,
    operator_id: UUID,
    owner_url: str,
    accept_jobs: Callable[[str], list[str]],
    create_failed: Callable[[str], list[str]],
    kind: str,
) -> None:
    jobs, finished, operator = accept_jobs(kind), create_failed(kind), open_browser()
    await operator.sign_in(operator_id)
    chosen = [finished[0], *jobs, jobs[0]]  # one that has ended, and one that is chosen twice
    _, check = await post(operator, f"{PATH}/check", chosen, kind=kind, action="cancel")
    assert "Cancel 3 jobs?" in check
    assert check.count("Not possible in this state; the job is passed over.") == 1
    for _ in range(2):
        _, result = await post(operator, PATH, chosen, kind=kind, action="cancel", **read_attempts(check))
        assert (result.count("Being cancelled"), result.count("Not possible in its state")) == (2, 1)
    actor = f"user:{operator_id}"
    expected = sorted((each.org_id, "cancel_requested", actor) for each in (tenant, other_tenant))
    assert fetch_commands(owner_url, [*chosen, *finished]) == expected


async def test_failed_re_exports_cannot_be_retried(
    open_browser: OpenBrowser, operator_id: UUID, owner_url: str, create_failed: Callable[[str], list[str]]
) -> None:
    jobs, operator = create_failed("reexport"), open_browser()
    await operator.sign_in(operator_id)
    assert "Try the chosen jobs again" not in (await operator.get(f"{PATH}?kind=reexport")).text
    attempts = {f"attempt-{job}": "1" for job in jobs}
    _, result = await post(operator, PATH, jobs, kind="reexport", action="retry", **attempts)
    assert result.count("Not possible in its state") == 2
    assert fetch_commands(owner_url, jobs) == []


async def test_selection_is_limited_and_needs_the_attempts_that_the_check_has_shown(
    open_browser: OpenBrowser, operator_id: UUID, owner_url: str, create_failed: Callable[[str], list[str]]
) -> None:
    jobs, operator = create_failed("export"), open_browser()
    await operator.sign_in(operator_id)
    for fields in ({}, {f"attempt-{jobs[0]}": "1"}, {f"attempt-{job}": "x" for job in jobs}):
        status, _ = await post(operator, PATH, jobs, kind="export", action="retry", **fields)
        assert status == 422, fields
    too_many = [str(uuid4()) for _ in range(201)]
    for path in (PATH, f"{PATH}/check"):
        assert (await post(operator, path, too_many, kind="export", action="retry"))[0] == 422
    assert fetch_commands(owner_url, jobs) == []


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
