"""``/peer-mentors``: list, add, edit and import the peer mentors of an organisation."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from api.concurrency import OccupyingUse, limit_concurrency, limit_large_lists, run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag, is_unchanged, parse_if_match
from api.headers import IdempotencyKeyHeader, IfMatchHeader, IfNoneMatchHeader
from api.schemas.people import (
    MentorCreate,
    MentorImportQuery,
    MentorImportResource,
    MentorPage,
    MentorResource,
    SavedMentorResource,
)
from stafett.database.tables import PeerMentor
from stafett.domain.membership import Caller, Permission
from stafett.people.mentor_import import COLUMNS
from stafett.people.mentors import MentorEdit, MentorFilter, SavedMentor

router = APIRouter(prefix="/peer-mentors", tags=["Peer mentors"], route_class=GuardedRoute)
MentorId = Annotated[UUID, Path(description="Id of the peer mentor.")]
_CSV_MEDIA_TYPE = "text/csv"
_IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _CSV_MEDIA_TYPE: {
                "schema": {
                    "type": "string",
                    "description": f"Columns: {', '.join(COLUMNS)}; `;` or `,` as separator; UTF-8; a header line.",
                }
            }
        },
    }
}


@router.get(
    "",
    operation_id="list_peer_mentors",
    summary="List peer mentors",
    description="List the organisation's peer mentors, ordered by name.",
    dependencies=[require(Permission.READ_ORGANISATION), limit_large_lists()],
)
def list_peer_mentors(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[MentorFilter, Query()]
) -> MentorPage:
    mentors, token = services.mentors.list(caller, query)
    return MentorPage(items=tuple(map(MentorResource.model_validate, mentors)), next_page_token=token)


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="add_peer_mentor",
    summary="Add a peer mentor",
    description="Add a peer mentor. Another mentor with the same name is a warning, because names are not unique.",
    dependencies=[require(Permission.MANAGE_MENTORS)],
)
def add_peer_mentor(
    body: MentorCreate,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKeyHeader = None,
) -> SavedMentorResource:
    saved = services.mentors.add(caller, body.to_new_mentor(caller.org_id), idempotency_key)
    response.headers["Location"] = f"{request.scope['path']}/{saved.mentor.id}"
    return _respond(saved, response)


@router.post(
    "/import",
    operation_id="import_peer_mentors",
    summary="Import peer mentors",
    description=(
        "Add the peer mentors of a CSV file, with a verdict per row. Rows are independent: the accepted ones are added "
        "together, and the rejected ones can be corrected and sent again. With `dry_run`, nothing is written."
    ),
    dependencies=[require(Permission.MANAGE_MENTORS), limit_concurrency(OccupyingUse.VALIDATIONS)],
    response_model=MentorImportResource,
    openapi_extra=_IMPORT_BODY,
)
async def import_peer_mentors(
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    query: Annotated[MentorImportQuery, Query()],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _CSV_MEDIA_TYPE:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    return await run_in_threadpool(_import, services, caller, query, await request.body(), idempotency_key)


def _import(
    services: Services, caller: Caller, query: MentorImportQuery, content: bytes, idempotency_key: str | None
) -> Response:
    """Import and render all rows in the thread, because 10,000 of them would block the event loop."""
    org_id = query.org_id or caller.org_id or ""
    if query.dry_run:
        verdicts = services.mentor_import.dry_run(caller, org_id, content)
    else:
        verdicts = services.mentor_import.run(caller, org_id, content, idempotency_key)
    resource = MentorImportResource.from_verdicts(org_id, verdicts, dry_run=query.dry_run)
    return Response(resource.model_dump_json(), media_type="application/json")


@router.get(
    "/{mentor_id:uuid}",
    operation_id="get_peer_mentor",
    summary="Get a peer mentor",
    description="Get a peer mentor with the entity tag that an edit needs.",
    dependencies=[require(Permission.READ_ORGANISATION)],
)
def get_peer_mentor(
    mentor_id: MentorId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> MentorResource | None:
    mentor = services.mentors.find(caller, mentor_id)
    response.headers["ETag"] = _format_mentor_etag(mentor)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return MentorResource.model_validate(mentor)


@router.put(
    "/{mentor_id:uuid}",
    operation_id="edit_peer_mentor",
    summary="Edit a peer mentor",
    description="Rename, deactivate or activate a peer mentor, or change the branch or the approval.",
    dependencies=[require(Permission.MANAGE_MENTORS, lambda services, *args: services.mentors.find(*args))],
)
def edit_peer_mentor(
    mentor_id: MentorId,
    body: MentorEdit,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> SavedMentorResource:
    return _respond(services.mentors.edit(caller, mentor_id, body, parse_if_match(if_match)), response)


def _respond(saved: SavedMentor, response: Response) -> SavedMentorResource:
    response.headers["ETag"] = _format_mentor_etag(saved.mentor)
    return SavedMentorResource.from_saved(saved)


def _format_mentor_etag(mentor: PeerMentor) -> str:
    return format_etag(mentor.edits, 0, None)
