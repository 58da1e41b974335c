"""``/organisations/{org_id}/column-mapping``: the versions of an organisation's column mapping."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.concurrency import OccupyingUse, limit_concurrency, run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import is_unchanged, parse_if_match
from api.headers import IfMatchHeader, IfNoneMatchHeader
from api.openapi import raises
from api.request_body import read_json_body
from api.schemas.exports import MappingQuery, MappingResource
from stafett.column_mapper.issues import InvalidMappingError
from stafett.column_mapper.loader import MAX_DOCUMENT_BYTES, load_mapping_request
from stafett.column_mapper.versions import MappingDetails
from stafett.domain.export import OrgId
from stafett.domain.membership import Caller, Permission
from stafett.domain.reporting_period import OSLO

router = APIRouter(prefix="/organisations/{org_id}/column-mapping", tags=["Organisations"], route_class=GuardedRoute)
OrganisationId = Annotated[OrgId, Path(description="Id of the organisation.")]

_DOCUMENT_SCHEMA = {
    "type": "object",
    "description": "A mapping document. `stafett mapping schema` prints its JSON Schema; see also docs/mapping.md.",
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


@router.get(
    "",
    operation_id="get_column_mapping",
    summary="Get a column mapping",
    description="Get the version of the organisation's column mapping that is in force today, or another version.",
    dependencies=[require(Permission.READ_ORGANISATION)],
)
def get_column_mapping(
    org_id: OrganisationId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    query: Annotated[MappingQuery, Query()],
    if_none_match: IfNoneMatchHeader = None,
) -> MappingResource | None:
    resource = _respond(_load_mapping(services, caller, org_id, query), response)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return resource


@router.put(
    "",
    operation_id="add_column_mapping",
    summary="Add a version of the column mapping",
    description=(
        "Add a version of the organisation's column mapping. Existing versions never change. The body is a mapping "
        "document, or the response of `GET` with an edited document."
    ),
    dependencies=[require(Permission.ADMINISTER), limit_concurrency(OccupyingUse.VALIDATIONS)],
    responses={
        HTTPStatus.CREATED: {"model": MappingResource, "description": "Added as the organisation's first version"}
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _DOCUMENT_SCHEMA}}},
        **raises(InvalidMappingError),
    },
)
async def add_column_mapping(
    org_id: OrganisationId,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
    if_match: IfMatchHeader = None,
) -> MappingResource:
    services.mappings.require_administrator(caller, org_id)
    document = await run_in_threadpool(
        load_mapping_request, await read_json_body(request, max_bytes=MAX_DOCUMENT_BYTES), org_id
    )
    added = await run_in_threadpool(services.mappings.add, caller, org_id, document, parse_if_match(if_match))
    if added.details.mapping.version == 1 and added.is_new:
        response.status_code = HTTPStatus.CREATED
        response.headers["Location"] = f"{request.scope['path']}?version=1"
    return _respond(added.details, response)


def _load_mapping(services: Services, caller: Caller, org_id: str, query: MappingQuery) -> MappingDetails:
    if query.version is not None:
        return services.mappings.get_version(caller, org_id, query.version)
    today = services.clock().astimezone(OSLO).date()
    return services.mappings.get_effective(caller, org_id, query.day or today)


def _respond(details: MappingDetails, response: Response) -> MappingResource:
    response.headers["ETag"] = f'"{details.latest_version}-{details.mapping.version}"'
    return MappingResource.model_validate(details.mapping.model_dump())
