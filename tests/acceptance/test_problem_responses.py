"""Rejected requests: problems that name the field and quote neither the request nor internals."""

from uuid import UUID, uuid4

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import ExportClient, Json, Tenant, create_tenant
from tests.support.dev_stack import EXPORTS, assert_problem
from tests.support.fixture_types import Bearer

_SECRET = "hunter2-c0ffee"  # noqa: S105 - a value that no response may repeat


def _period(start: object, end: object = "2026-12-31") -> Json:
    return {"reporting_period": {"start": start, "end": end}}


@pytest.mark.parametrize(
    ("fields", "pointer"),
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
async def test_invalid_field_is_named_without_its_value(
    export_client: ExportClient, fields: Json, pointer: str
) -> None:
    response = await export_client.request_export(**fields)
    problem = assert_problem(response, 422)
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert all(error["code"] and error["detail"] for error in problem["errors"])
    assert _SECRET not in response.text


async def test_all_invalid_fields_are_named_at_once(export_client: ExportClient) -> None:
    problem = assert_problem(await export_client.request_export(locale="sv", export_format="pdf", password="x"), 422)  # noqa: S106 - not a password
    assert {error["pointer"] for error in problem["errors"]} == {"/locale", "/export_format", "/password"}


@pytest.mark.parametrize("field", ["org_id", "reporting_period", "export_format"])
async def test_missing_field_is_named(export_client: ExportClient, api_client: httpx.AsyncClient, field: str) -> None:
    body = {"org_id": export_client.org_id, "export_format": "csv"} | _period("2026-01-01")
    del body[field]
    problem = assert_problem(await api_client.post(EXPORTS, json=body, headers=export_client.headers), 422)
    assert [error["pointer"] for error in problem["errors"]] == [f"/{field}"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"csv"', b"\xff\xfe"], ids=repr)
async def test_body_that_is_not_a_json_object_has_an_empty_pointer(
    export_client: ExportClient, api_client: httpx.AsyncClient, body: bytes
) -> None:
    headers = export_client.headers | {"Content-Type": "application/json"}
    problem = assert_problem(await api_client.post(EXPORTS, content=body, headers=headers), 422)
    assert "" in [error["pointer"] for error in problem["errors"]]


async def test_body_of_32_megabytes_is_too_large(export_client: ExportClient, api_client: httpx.AsyncClient) -> None:
    headers = export_client.headers | {"Content-Type": "application/json"}
    body = b'{"org_id": "' + b"x" * 32_000_000 + b'"}'
    assert_problem(await api_client.post(EXPORTS, content=body, headers=headers), 413)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
async def test_body_of_another_media_type_is_unsupported(
    export_client: ExportClient, api_client: httpx.AsyncClient, media_type: str
) -> None:
    headers = export_client.headers | {"Content-Type": media_type}
    assert_problem(await api_client.post(EXPORTS, content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("PATCH", EXPORTS, {"GET", "POST"}), ("POST", f"{EXPORTS}/{UUID(int=1)}", {"GET"})]
)
async def test_unsupported_method_lists_the_allowed_methods(
    export_client: ExportClient, api_client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    response = await api_client.request(method, path, headers=export_client.headers)
    assert_problem(response, 405)
    assert {name.strip() for name in response.headers["Allow"].split(",")} >= allowed


async def test_unknown_path_is_a_problem(api_client: httpx.AsyncClient) -> None:
    assert_problem(await api_client.get("/api/v1/nothing"), 404)


async def test_unknown_export_is_not_found(export_client: ExportClient, api_client: httpx.AsyncClient) -> None:
    assert_problem(await api_client.get(f"{EXPORTS}/{uuid4()}", headers=export_client.headers), 404)


async def test_export_of_another_organisation_looks_like_an_unknown_one(
    export_client: ExportClient, api_client: httpx.AsyncClient, owner_url: str, bearer: Bearer
) -> None:
    neighbour = create_tenant(owner_url)
    export_id = await export_client.start_export()
    for role, user_id in neighbour.users.items():
        headers = bearer(user_id, neighbour.org_id, role)
        forbidden = assert_problem(await api_client.get(f"{EXPORTS}/{export_id}", headers=headers), 404)
        unknown = assert_problem(await api_client.get(f"{EXPORTS}/{uuid4()}", headers=headers), 404)
        assert {name for name in forbidden if forbidden[name] != unknown[name]} == {"instance", "trace_id"}


async def test_auditor_cannot_start_an_export(export_client: ExportClient, tenant: Tenant, bearer: Bearer) -> None:
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    assert_problem(await export_client.request_export(), 403, "permission_denied")


async def test_operator_without_an_organisation_cannot_start_an_export(
    export_client: ExportClient, operator_headers: dict[str, str]
) -> None:
    export_client.headers = operator_headers
    assert_problem(await export_client.request_export(), 403, "permission_denied")


@pytest.mark.parametrize("org_id", ["nhf", "no_such_organisation"])
async def test_export_for_another_organisation_is_forbidden(export_client: ExportClient, org_id: str) -> None:
    assert_problem(await export_client.request_export(org_id=org_id), 403, "permission_denied")


async def test_export_in_the_name_of_another_user_is_forbidden(export_client: ExportClient, tenant: Tenant) -> None:
    for user_id in (str(tenant.users[Role.ADMIN]), _SECRET):
        response = await export_client.request_export(requesting_user_id=user_id)
        assert_problem(response, 403, "permission_denied")
        assert _SECRET not in response.text
    assert (await export_client.request_export(requesting_user_id=str(tenant.coordinator))).status_code == 202


async def test_admin_can_start_an_export(export_client: ExportClient, tenant: Tenant, bearer: Bearer) -> None:
    export_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    response = await export_client.request_export()
    assert (response.status_code, response.json()["requested_by"]) == (202, str(tenant.users[Role.ADMIN]))
