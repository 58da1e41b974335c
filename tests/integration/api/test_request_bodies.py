"""Bodies that are malformed, huge or deeply nested: refused early, with a short response."""

import asyncio
import gzip
import json
import time
from uuid import UUID, uuid4

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import ExportClient, Tenant
from tests.support.bulk import build_batch
from tests.support.fixture_types import Bearer

_EXPORTS, _BATCHES = "/api/v1/bufdir-exports", "/api/v1/bulk-registrations"
_MALFORMED = b'{"label": '
_MAX_RESPONSE_BYTES = 64 * 1024
_MAX_BLOCKING_CPU_SECONDS = 2.0
"""The bodies below once blocked the event loop for more than ten seconds of CPU time."""

_UNKNOWN_KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(560_000)) + b"}"


async def post(client: ExportClient, path: str, body: bytes, media_type: str = "application/json") -> httpx.Response:
    headers = client.headers | {"Content-Type": media_type}
    return await client.http_client.post(path, content=body, headers=headers, timeout=60)


def batch_of(org_id: str, items: list[object], **fields: object) -> bytes:
    return json.dumps(build_batch(org_id, items, **fields)).encode()


async def measure_longest_block(request: asyncio.Task[httpx.Response]) -> float:
    """Return the most CPU time that the process used while the event loop ran nothing else than the request.

    CPU time, because a machine that stops for some seconds blocks the event loop as well.
    """
    longest, last = 0.0, time.process_time()
    while not request.done():
        await asyncio.sleep(0)
        longest, last = max(longest, time.process_time() - last), time.process_time()
    return longest


@pytest.mark.parametrize("path", ["/bulk-registrations/{id}", "/report-reexports/{id}", "/reports/{id}"])
async def test_role_is_checked_before_the_body_of_a_put(
    api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, path: str
) -> None:
    headers = bearer(tenant.users[Role.AUDITOR], role="auditor") | {"Content-Type": "application/json"}
    response = await api_client.put(f"/api/v1{path.format(id=uuid4())}", content=_MALFORMED, headers=headers)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_auditor_is_denied_before_the_body_is_parsed(
    api_client: httpx.AsyncClient, export_client: ExportClient, tenant: Tenant, bearer: Bearer
) -> None:
    mentor = str(uuid4())
    accepted = await post(export_client, _BATCHES, batch_of(tenant.org_id, [{"mentor_id": mentor}]))
    headers = bearer(tenant.users[Role.AUDITOR], role="auditor") | {"Content-Type": "application/json"}
    path = f"{_BATCHES}/{UUID(accepted.json()['id'])}"
    response = await api_client.put(path, content=_MALFORMED, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("path", [_EXPORTS, f"{_EXPORTS}/preview", _BATCHES])
async def test_body_of_unknown_keys_is_refused_without_blocking_others(export_client: ExportClient, path: str) -> None:
    request = asyncio.create_task(post(export_client, path, _UNKNOWN_KEYS))
    longest = await measure_longest_block(request)
    response = await request
    assert response.status_code == 422
    assert [error["code"] for error in response.json()["errors"]] == ["too_many_keys"]
    assert len(response.content) < _MAX_RESPONSE_BYTES
    assert longest < _MAX_BLOCKING_CPU_SECONDS


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "too_deep"),
        (b"[" + b"1," * 2_000_000 + b"1]", "too_many_values"),
        (b"[" + b"{}," * 2_000_000 + b"{}]", "too_many_values"),
    ],
)
@pytest.mark.parametrize("path", [_EXPORTS, _BATCHES])
async def test_structure_beyond_the_limits_is_refused(
    export_client: ExportClient, path: str, body: bytes, code: str
) -> None:
    response = await post(export_client, path, body)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [("", code)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be"])
@pytest.mark.parametrize("path", [_EXPORTS, _BATCHES])
async def test_json_in_another_encoding_is_refused(export_client: ExportClient, path: str, encoding: str) -> None:
    body = batch_of(export_client.org_id, [{"mentor_id": "x"}]) if path == _BATCHES else _export_body(export_client)
    assert (await post(export_client, path, body.decode().encode("utf-8-sig"))).status_code == 202
    response = await post(export_client, path, body.decode().encode(encoding))
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "json_invalid")


@pytest.mark.parametrize("path", [_EXPORTS, _BATCHES])
async def test_invalid_json_is_located_by_line_and_column(export_client: ExportClient, path: str) -> None:
    response = await post(export_client, path, '{\n  "label": "Møte",\n  "items" []}'.encode())
    (error,) = response.json()["errors"]
    assert (response.status_code, error["pointer"], error["code"]) == (422, "", "json_invalid")
    assert error["detail"] == "The body is not valid JSON in UTF-8 (line 3, column 11)."


@pytest.mark.parametrize("path", [_EXPORTS, _BATCHES])
async def test_unknown_fields_have_one_wording(export_client: ExportClient, path: str) -> None:
    body = {"colour": "red", "items": [{"mentor_id": "x", "overrides": {"colour": "red"}}]}
    problem = (await post(export_client, f"{path}", json.dumps(body).encode())).json()
    details = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert details["/colour"] == "Unknown field."
    if path == _BATCHES:
        assert details["/items/0/overrides/colour"].startswith("Unknown field. Input should be 'activity_type', ")


@pytest.mark.parametrize("path", [f"{_BATCHES}?org_id=nhf", "/api/v1/peer-mentors/import"])
async def test_file_that_lost_its_line_breaks_is_recognised(export_client: ExportClient, path: str) -> None:
    content = b"a;" * 20
    problems = [(await post(export_client, path, content + end, "text/csv")).json() for end in (b"", b"\n")]
    codes = [[error["code"] for error in problem["errors"]] for problem in problems]
    assert codes == [["too_many_columns", "no_line_breaks"], ["too_many_columns"]]
    assert "--data-binary" in problems[0]["errors"][1]["detail"]


async def test_offset_whose_plus_became_a_space_is_explained(export_client: ExportClient) -> None:
    for name, path in (("created_after", "bufdir-exports"), ("period_start", "activities")):
        query = f"/api/v1/{path}?{name}=2026-01-31T12:00:00+01:00"
        response = await export_client.http_client.get(query, headers=export_client.headers)
        (error,) = response.json()["errors"]
        assert (response.status_code, error["pointer"]) == (422, f"query:{name}")
        assert error["detail"].endswith("; in a URL, write the + of an offset as %2B")
        corrected = query.replace("+", "%2B")
        assert (await export_client.http_client.get(corrected, headers=export_client.headers)).status_code == 200


async def test_unknown_path_without_an_id_where_one_belongs_is_explained(export_client: ExportClient) -> None:
    for path, is_explained in (
        ("bufdir-exports/latest/audit", True),
        ("bulk-registrations/5e4d7a34", True),
        (f"bulk-registrations/{uuid4()}", False),
        ("exports", False),
    ):
        response = await export_client.http_client.get(f"/api/v1/{path}", headers=export_client.headers)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response.json()["detail"].endswith("where an id belongs, which is a UUID.") == is_explained, path


def _export_body(export_client: ExportClient) -> bytes:
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = {"org_id": export_client.org_id, "reporting_period": period, "export_format": "csv"}
    return json.dumps(body).encode()


async def test_repeated_query_parameter_is_refused(export_client: ExportClient) -> None:
    query = "status=failed&page_size=1&status=completed"
    response = await export_client.http_client.get(f"{_EXPORTS}?{query}", headers=export_client.headers)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [("query:status", "repeated")]


async def test_at_most_100_errors_are_listed_and_the_others_counted(export_client: ExportClient) -> None:
    body = {"org_id": export_client.org_id} | {f"unknown{number}": 1 for number in range(148)}
    response = await post(export_client, _EXPORTS, json.dumps(body).encode())
    problem = response.json()  # 148 unknown fields, two missing ones
    assert (response.status_code, len(problem["errors"])) == (422, 100)
    assert problem["detail"] == "The request is not valid. 50 more errors are not listed."


async def test_error_pointer_to_a_long_key_is_shortened(export_client: ExportClient) -> None:
    body = {"org_id": export_client.org_id, "x" * 3_000_000: 1}
    response = await post(export_client, _EXPORTS, json.dumps(body).encode())
    assert response.status_code == 422
    assert len(response.content) < _MAX_RESPONSE_BYTES


async def test_errors_of_a_batch_are_limited_and_counted(export_client: ExportClient) -> None:
    items: list[object] = [{"mentor_id": str(uuid4()), "unknown": 1} for _ in range(10_000)]
    request = asyncio.create_task(post(export_client, _BATCHES, batch_of(export_client.org_id, items, label="")))
    longest = await measure_longest_block(request)
    problem = (await request).json()
    pointers = [error["pointer"] for error in problem["errors"]]
    assert pointers == ["/label", *(f"/items/{number}/unknown" for number in range(99))]
    assert problem["detail"] == "The request is not valid. 9901 more errors are not listed."
    assert longest < _MAX_BLOCKING_CPU_SECONDS


async def test_duplicate_references_of_a_batch_are_limited_and_counted(export_client: ExportClient) -> None:
    items: list[object] = [{"mentor_id": "same"}] * 500
    problem = (await post(export_client, _BATCHES, batch_of(export_client.org_id, items))).json()
    assert len(problem["errors"]) == 100
    assert "400 more errors" in problem["detail"]  # 499 duplicates, and the first item, whose mentor does not exist


async def test_batch_with_too_many_items_is_refused_with_one_error(export_client: ExportClient) -> None:
    items: list[object] = [{"mentor_id": f"m{number}"} for number in range(10_001)]
    problem = (await post(export_client, _BATCHES, batch_of(export_client.org_id, items))).json()
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/items", "too_long")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a," * 4_000_000 + b"a", "row_too_long"),
        (b"a;" * 100 + b"a\n", "too_many_columns"),
        (b'"a\n",' + b'x,"\n",' * 1_000_000, "row_too_long"),
        (b'mentor_id;"' + b"\n" * 5_000_000, "row_too_long"),
        (b"mentor_id\n" + b"\n" * 5_000_000, "missing_column"),
    ],
)
async def test_hostile_csv_is_refused_without_blocking_others(
    export_client: ExportClient, content: bytes, code: str
) -> None:
    request = asyncio.create_task(post(export_client, f"{_BATCHES}?validate_only=true", content, "text/csv"))
    longest = await measure_longest_block(request)
    response = await request
    assert response.status_code == 422
    assert {error["code"] for error in response.json()["errors"]} == {code}
    assert longest < _MAX_BLOCKING_CPU_SECONDS


async def test_csv_of_empty_lines_is_refused(export_client: ExportClient) -> None:
    columns = (
        "mentor_id;activity_type;starts_at;duration_minutes;participants;new_participants;place;in_person;in_norway"
    )
    content = columns.encode() + b"\n" * 5_000_000
    response = await post(export_client, _BATCHES, content, "text/csv")
    assert [error["code"] for error in response.json()["errors"]] == ["too_many_lines"]


async def test_path_with_a_trailing_slash_does_not_redirect_to_the_requested_host(
    api_client: httpx.AsyncClient, export_client: ExportClient
) -> None:
    headers = export_client.headers | {"Host": "attacker.example"}
    response = await api_client.get(f"{_EXPORTS}/", headers=headers)
    assert response.status_code == 404
    assert "location" not in response.headers


async def test_body_with_a_content_encoding_is_refused(export_client: ExportClient) -> None:
    body = batch_of(export_client.org_id, [{"mentor_id": str(uuid4())}])
    for encoding, content, status in (
        ("gzip", gzip.compress(body), 415),
        ("gzip", body, 415),
        ("identity, br", body, 415),
        ("Identity", body, 202),
    ):
        headers = export_client.headers | {"Content-Type": "application/json", "Content-Encoding": encoding}
        response = await export_client.http_client.post(_BATCHES, content=content, headers=headers)
        assert response.status_code == status, encoding
        if status != 202:
            assert response.headers["Content-Type"] == "application/problem+json"
            assert (response.json()["code"], response.headers["Accept-Encoding"]) == (
                "unsupported_media_type",
                "identity",
            )


async def test_unknown_query_parameter_is_refused_by_every_list(export_client: ExportClient) -> None:
    for path in ("organisations", "activity-types", "peer-mentors", "bufdir-exports"):
        response = await export_client.http_client.get(f"/api/v1/{path}?orgid=nhf", headers=export_client.headers)
        (error,) = response.json()["errors"]
        assert (response.status_code, error["pointer"], error["code"]) == (422, "query:orgid", "extra_forbidden"), path
        assert error["detail"] == "Unknown parameter."
