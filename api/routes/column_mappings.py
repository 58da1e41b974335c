"""``/organisations/{org_id}/column-mapping``: what an organisation's reports are made by."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.dependencies import CallerOf, Given, GuardedRoute, Services, allowed, json_of
from api.etags import edits_seen, is_unchanged
from api.headers import IfMatch, IfNoneMatch
from api.openapi import raises
from api.schemas.exports import MappingQuery, MappingResource
from stafett.column_mapper.issues import InvalidMappingError
from stafett.column_mapper.loader import MAX_DOCUMENT_BYTES, load_mapping_request
from stafett.column_mapper.versions import MappingDetails
from stafett.domain.export import OrgId
from stafett.domain.membership import Caller, Permission
from stafett.domain.reporting_period import OSLO

router = APIRouter(prefix="/organisations/{org_id}/column-mapping", tags=["Organisations"], route_class=GuardedRoute)

_SUBMISSION = {
    "type": "object",
    "description": "See `stafett mapping schema` and docs/mapping.md.",
    "examples": [
        {
            "format": 1,
            "title": "Days and places, from 2026",
            "effective_from": "2026-01-01",
            "columns": [
                {
                    "id": "date",
                    "header": {"nb": "Dato", "nn": "Dato", "en": "Date"},
                    "type": "date",
                    "value": {"var": "oslo_day"},
                }
            ],
            "counting": {"reasons": []},
        }
    ],
}


@router.get("", operation_id="get_column_mapping", dependencies=[allowed(Permission.READ_ORGANISATION)])
def get(
    org_id: OrgId,
    caller: CallerOf,
    given: Given,
    response: Response,
    wanted: Annotated[MappingQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> MappingResource | None:
    """The mapping that is in force today, on a day, or of a version."""
    resource = _answer(_found(given, caller, org_id, wanted), response)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return resource


@router.put(
    "",
    operation_id="add_column_mapping",
    dependencies=[allowed(Permission.ADMINISTER)],
    responses={HTTPStatus.CREATED: {"model": MappingResource, "description": "The organisation's first version"}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _SUBMISSION}}},
        **raises(InvalidMappingError),
    },
)
async def put(
    org_id: OrgId,
    caller: CallerOf,
    given: Given,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> MappingResource:
    """Add a version; those that are there never change. The body is a document, or what GET answers with one in it."""
    given.mappings.require_administrator(caller, org_id)
    document = await run_in_threadpool(load_mapping_request, await json_of(request, most=MAX_DOCUMENT_BYTES), org_id)
    added = await run_in_threadpool(given.mappings.add, caller, org_id, document, edits_seen(if_match))
    if added.details.mapping.version == 1 and added.is_new:
        response.status_code = HTTPStatus.CREATED
        response.headers["Location"] = f"{request.scope['path']}?version=1"
    return _answer(added.details, response)


def _found(given: Services, caller: Caller, org_id: str, wanted: MappingQuery) -> MappingDetails:
    if wanted.version is not None:
        return given.mappings.get_version(caller, org_id, wanted.version)
    today = given.clock().astimezone(OSLO).date()
    return given.mappings.get_effective(caller, org_id, wanted.day or today)


def _answer(found: MappingDetails, response: Response) -> MappingResource:
    response.headers["ETag"] = f'"{found.latest_version}-{found.mapping.version}"'
    return MappingResource.model_validate(found.mapping.model_dump())
