"""The organisation's audit trail in the API: filters, pages, CSV and access."""

import csv
import io
from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import ExportClient, Json, Tenant, create_tenant
from tests.support.fixture_types import Bearer

Fetch = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def jobs(export_client: ExportClient) -> list[str]:
    return [await export_client.start_export() for _ in range(3)]


@pytest.fixture
def fetch(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> Fetch:
    async def fetch(suffix: str = "", role: Role = Role.AUDITOR, **query: object) -> httpx.Response:
        url = f"/api/v1/organisations/{tenant.org_id}/audit{suffix}"
        headers = bearer(tenant.users[role], role=role)
        return await api_client.get(url, params=query, headers=headers)  # type: ignore[arg-type]  # query values

    return fetch


async def test_events_are_filtered_and_paged_newest_first(fetch: Fetch, jobs: list[str], tenant: Tenant) -> None:
    async def list_events(**query: object) -> Json:
        response = await fetch(**query)
        assert response.status_code == 200, response.text
        page: Json = response.json()
        return page

    events = (await list_events(event="export_requested"))["items"]
    assert [event["subject_id"] for event in events] == list(reversed(jobs))
    assert {(event["subject_kind"], event["actor"]) for event in events} == {("export", f"user:{tenant.coordinator}")}
    names = {event["actor_name"] for event in events}
    assert len(names) == 1
    assert None not in names
    assert [event["subject_id"] for event in (await list_events(subject_id=jobs[0]))["items"]] == [jobs[0]]
    assert (await list_events(actor="system:worker"))["items"] == []
    found = (await list_events(subject_id_prefix=UUID(jobs[0]).hex[:10]))["items"]
    assert [event["subject_id"] for event in found] == [jobs[0]]
    actor = f"user:{tenant.coordinator}"
    assert (await list_events(actor_prefix=actor[:13], event="export_requested"))["items"] == events
    assert (await list_events(actor_prefix=f"{actor[:12]}{'0' if actor[12] != '0' else '1'}"))["items"] == []
    for length in (11, 14, 36):  # with hyphens and without them
        for start in (jobs[0][:length], jobs[0][:length].replace("-", "").upper()):
            found = (await list_events(subject_id_prefix=start))["items"]
            assert [event["subject_id"] for event in found] == [jobs[0]]
        for start in (str(tenant.coordinator)[:length], str(tenant.coordinator)[:length].replace("-", "")):
            assert (await list_events(actor_prefix=f"user:{start}", event="export_requested"))["items"] == events
    first = await list_events(event="export_requested", page_size=2)
    rest = await list_events(event="export_requested", page_size=2, page_token=first["next_page_token"])
    assert first["items"] + rest["items"] == events
    assert rest["next_page_token"] is None
    middle = events[1]["at"]
    after = (await list_events(event="export_requested", created_after=middle))["items"]
    before = (await list_events(event="export_requested", created_before=middle))["items"]
    assert (after, before) == (events[:2], events[1:])


async def test_csv_has_every_event_that_matches(fetch: Fetch, jobs: list[str]) -> None:
    response = await fetch(".csv", event="export_requested")
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert [row["subject_id"] for row in rows] == list(reversed(jobs))
    whole = (await fetch(".csv")).text
    assert all(job in whole for job in jobs)


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ({"event": "x'; --"}, "query:event", "There is no such event; /openapi.json lists the names"),
        ({"event": "export_request"}, "query:event", "There is no such event; the nearest are export_requested"),
        ({"actor": "Kari Nordmann"}, "query:actor", "or a part of the system, such as system:worker"),
        ({"actor_prefix": "user:%"}, "query:actor_prefix", "such as user:5e4d7a34-95a4"),
        ({"subject_id_prefix": "5e4d7a3"}, "query:subject_id_prefix", "such as 5e4d7a34-95a4"),
        ({"created_after": "yesterday"}, "query:created_after", "RFC 3339"),
        ({"page_token": "x"}, "query:page_token", ""),
        ({"colour": "red"}, "query:colour", "Unknown parameter."),
    ],
    ids=str,
)
async def test_invalid_filter_names_its_parameter(fetch: Fetch, query: Json, pointer: str, detail: str) -> None:
    response = await fetch(**query)
    assert (response.status_code, [error["pointer"] for error in response.json()["errors"]]) == (422, [pointer])
    assert detail in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("suffix", ["", ".csv"])
async def test_audit_trail_is_refused_to_coordinators_and_hidden_from_strangers(
    fetch: Fetch,
    suffix: str,
    api_client: httpx.AsyncClient,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    assert (await fetch(suffix, Role.COORDINATOR)).status_code == 403
    assert (await fetch(suffix, Role.ADMIN)).status_code == 200
    other = create_tenant(owner_url)
    stranger = bearer(other.users[Role.AUDITOR], other.org_id)
    url = f"/api/v1/organisations/{tenant.org_id}/audit{suffix}"
    assert (await api_client.get(url, headers=stranger)).status_code == 404
