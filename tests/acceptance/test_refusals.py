"""What is refused: always a problem, always saying where, never repeating what was sent or what is inside."""

from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import ExportClient, Json, Tenant, create_tenant
from tests.acceptance.dev_stack import EXPORTS, assert_problem

Bearer = Callable[..., dict[str, str]]
_SECRET = "hunter2-c0ffee"  # noqa: S105 - a canary that no answer may repeat


def _period(start: object, end: object = "2026-12-31") -> Json:
    return {"reporting_period": {"start": start, "end": end}}


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        (_period("2026-03-01", "2026-02-01"), "/reporting_period"),
        (_period("2026-03-01T10:00:00Z", "2026-03-01T09:59:59Z"), "/reporting_period"),
        (_period("2026-01-01T00:00:00"), "/reporting_period/start"),
        (_period("2026-02-30"), "/reporting_period/start"),
        (_period("2026-01-01", "2026-02-30"), "/reporting_period/end"),
        (_period("2026-01-01", _SECRET), "/reporting_period/end"),
        (_period(20260101), "/reporting_period/start"),
        (_period(None), "/reporting_period/start"),
        ({"reporting_period": {"start": "2026-01-01"}}, "/reporting_period/end"),
        (
            {"reporting_period": {"start": "2026-01-01", "end": "2026-01-02", "until": _SECRET}},
            "/reporting_period/until",
        ),
        ({"reporting_period": None}, "/reporting_period"),
        ({"locale": "sv"}, "/locale"),
        ({"locale": _SECRET}, "/locale"),
        ({"export_format": "pdf"}, "/export_format"),
        ({"csv_profile": "tsv"}, "/csv_profile"),
        ({"include_attachments": _SECRET}, "/include_attachments"),
        ({"fail_on_empty": None}, "/fail_on_empty"),
        ({"requesting_user_id": 7}, "/requesting_user_id"),
        ({"password": _SECRET}, "/password"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
    ids=str,
)
async def test_a_bad_field_is_pointed_at_and_not_repeated(button: ExportClient, asked: Json, pointer: str) -> None:
    answer = await button.request_export(**asked)
    problem = assert_problem(answer, 422)
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert all(error["code"] and error["detail"] for error in problem["errors"])
    assert _SECRET not in answer.text


async def test_every_bad_field_is_named_at_once(button: ExportClient) -> None:
    problem = assert_problem(await button.request_export(locale="sv", export_format="pdf", password="x"), 422)  # noqa: S106 - not one
    assert {error["pointer"] for error in problem["errors"]} == {"/locale", "/export_format", "/password"}


@pytest.mark.parametrize("field", ["org_id", "reporting_period", "export_format"])
async def test_a_missing_field_is_pointed_at(button: ExportClient, gateway: httpx.AsyncClient, field: str) -> None:
    body = {"org_id": button.org_id, "export_format": "csv"} | _period("2026-01-01")
    del body[field]
    problem = assert_problem(await gateway.post(EXPORTS, json=body, headers=button.headers), 422)
    assert [error["pointer"] for error in problem["errors"]] == [f"/{field}"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"csv"', b"\xff\xfe"], ids=repr)
async def test_a_body_that_is_no_json_object_is_pointed_at_as_a_whole(
    button: ExportClient, gateway: httpx.AsyncClient, body: bytes
) -> None:
    headers = button.headers | {"Content-Type": "application/json"}
    problem = assert_problem(await gateway.post(EXPORTS, content=body, headers=headers), 422)
    assert "" in [error["pointer"] for error in problem["errors"]]


async def test_a_huge_body_is_too_large(button: ExportClient, gateway: httpx.AsyncClient) -> None:
    headers = button.headers | {"Content-Type": "application/json"}
    body = b'{"org_id": "' + b"x" * 32_000_000 + b'"}'
    assert_problem(await gateway.post(EXPORTS, content=body, headers=headers), 413)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
async def test_a_body_of_another_type_is_unsupported(
    button: ExportClient, gateway: httpx.AsyncClient, media_type: str
) -> None:
    headers = button.headers | {"Content-Type": media_type}
    assert_problem(await gateway.post(EXPORTS, content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("PATCH", EXPORTS, {"GET", "POST"}), ("POST", f"{EXPORTS}/{UUID(int=1)}", {"GET"})]
)
async def test_a_wrong_method_is_told_the_right_ones(
    button: ExportClient, gateway: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = await gateway.request(method, path, headers=button.headers)
    assert_problem(answer, 405)
    assert {word.strip() for word in answer.headers["Allow"].split(",")} >= allowed


async def test_an_unknown_path_is_a_problem_too(gateway: httpx.AsyncClient) -> None:
    assert_problem(await gateway.get("/api/v1/nothing"), 404)


async def test_an_unknown_export_is_not_found(button: ExportClient, gateway: httpx.AsyncClient) -> None:
    assert_problem(await gateway.get(f"{EXPORTS}/{uuid4()}", headers=button.headers), 404)


async def test_another_organisations_export_looks_like_an_unknown_one(
    button: ExportClient, gateway: httpx.AsyncClient, owner_url: str, bearer: Bearer
) -> None:
    neighbour = create_tenant(owner_url)
    export_id = await button.start_export()
    for role, user_id in neighbour.users.items():
        headers = bearer(user_id, neighbour.org_id, role)
        theirs = assert_problem(await gateway.get(f"{EXPORTS}/{export_id}", headers=headers), 404)
        unknown = assert_problem(await gateway.get(f"{EXPORTS}/{uuid4()}", headers=headers), 404)
        assert {name for name in theirs if theirs[name] != unknown[name]} == {"instance", "trace_id"}


async def test_an_auditor_starts_nothing(button: ExportClient, tenant: Tenant, bearer: Bearer) -> None:
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    assert_problem(await button.request_export(), 403, "permission_denied")


async def test_an_operator_starts_nothing_without_an_organisation_of_their_own(
    button: ExportClient, operator: dict[str, str]
) -> None:
    button.headers = operator
    assert_problem(await button.request_export(), 403, "permission_denied")


@pytest.mark.parametrize("org_id", ["nhf", "no_such_organisation"])
async def test_nobody_starts_for_another_organisation(button: ExportClient, org_id: str) -> None:
    assert_problem(await button.request_export(org_id=org_id), 403, "permission_denied")


async def test_nobody_starts_in_anothers_name(button: ExportClient, tenant: Tenant) -> None:
    for other in (str(tenant.users[Role.ADMIN]), _SECRET):
        problem = await button.request_export(requesting_user_id=other)
        assert_problem(problem, 403, "permission_denied")
        assert _SECRET not in problem.text
    assert (await button.request_export(requesting_user_id=str(tenant.coordinator))).status_code == 202


async def test_an_admin_starts_for_the_own_organisation(button: ExportClient, tenant: Tenant, bearer: Bearer) -> None:
    button.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    accepted = await button.request_export()
    assert (accepted.status_code, accepted.json()["requested_by"]) == (202, str(tenant.users[Role.ADMIN]))
