"""``/organisations``: organisations, their members and their API keys."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.audit_csv import respond_with_audit_csv
from api.concurrency import OccupyingUse, limit_concurrency, limit_large_lists, run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.openapi import raises
from api.schemas.audit import AuditTrailCriteria, AuditTrailQuery, OrganisationAuditEvent, OrganisationAuditPage
from api.schemas.people import (
    ApiKeyPage,
    ApiKeyResource,
    ApiKeyWithSecret,
    MemberEdit,
    MemberPage,
    MemberResource,
    OrganisationPage,
    OrganisationResource,
)
from stafett.database.pagination import ListFilter
from stafett.database.tables import Delivery
from stafett.domain.errors import AlreadyExistsError, LastAdminError, NotFoundError
from stafett.domain.export import OrgId
from stafett.domain.membership import Caller, Permission
from stafett.domain.notification import NotificationJob
from stafett.people.access import authorise_addition, require_administrator
from stafett.people.api_keys import NewApiKey
from stafett.people.members import NewMember
from stafett.people.organisations import NewName, NewOrganisation

router = APIRouter(prefix="/organisations", tags=["Organisations"], route_class=GuardedRoute)
OrganisationId = Annotated[OrgId, Path(description="Id of the organisation.")]
UserId = Annotated[UUID, Path(description="Id of the user.")]
ApiKeyId = Annotated[UUID, Path(description="Id of the API key.")]


def _find_organisation(services: Services, caller: Caller, org_id: str) -> None:
    services.organisations.require_visible(caller, org_id)


def _find_own_organisation(_services: Services, caller: Caller, org_id: str) -> None:
    if org_id != caller.org_id:
        raise NotFoundError("There is no such organisation.")


def _find_administered(_services: Services, caller: Caller, org_id: str) -> None:
    require_administrator(caller, org_id)


def _authorise_addition(_services: Services, caller: Caller, org_id: str) -> None:
    authorise_addition(caller, org_id)


@router.get(
    "",
    operation_id="list_organisations",
    summary="List organisations",
    description="List the caller's organisation; for operators, all organisations.",
    dependencies=[require(Permission.VIEW_JOBS), limit_large_lists()],
)
def list_organisations(caller: CurrentCaller, services: ServicesDep) -> OrganisationPage:
    organisations = services.organisations.list(caller)
    return OrganisationPage(items=tuple(map(OrganisationResource.model_validate, organisations)))


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="add_organisation",
    summary="Add an organisation",
    description=(
        "Add an organisation with the standard column mapping, and invite its first administrator by email. "
        "The administrator signs in with this address once; afterwards the identity provider's subject identifies them."
    ),
    dependencies=[require(Permission.ADD_ORGANISATIONS)],
    openapi_extra=raises(AlreadyExistsError),
)
async def add_organisation(
    body: NewOrganisation, caller: CurrentCaller, services: ServicesDep, request: Request, response: Response
) -> OrganisationResource:
    added = await run_in_threadpool(services.organisations.add, caller.actor, body)
    _send_invitation(services, added.invitation)
    response.headers["Location"] = f"{request.scope['path']}/{added.organisation.id}"
    return OrganisationResource.model_validate(added.organisation)


@router.put(
    "/{org_id}",
    operation_id="rename_organisation",
    summary="Rename an organisation",
    description="Change the name of an organisation. Administrators rename their own.",
    dependencies=[require(Permission.RENAME_ORGANISATIONS, _find_organisation)],
)
def rename_organisation(
    org_id: OrganisationId, body: NewName, caller: CurrentCaller, services: ServicesDep
) -> OrganisationResource:
    services.organisations.authorise_rename(caller, org_id)
    return OrganisationResource.model_validate(services.organisations.rename(caller.actor, org_id, body.name))


@router.get(
    "/{org_id}/members",
    operation_id="list_members",
    summary="List members",
    description="List the organisation's members with their addresses and roles, newest first.",
    dependencies=[require(Permission.ADMINISTER), limit_large_lists()],
)
def list_members(
    org_id: OrganisationId, caller: CurrentCaller, services: ServicesDep, query: Annotated[ListFilter, Query()]
) -> MemberPage:
    members, token = services.members.list(caller, org_id, query)
    return MemberPage(items=tuple(map(MemberResource.from_details, members)), next_page_token=token)


@router.post(
    "/{org_id}/members",
    status_code=HTTPStatus.CREATED,
    operation_id="invite_member",
    summary="Invite a member",
    description=(
        "Add a member by email address and role, and send an invitation. At the first sign-in with this verified "
        "address, the identity provider's subject is linked to the member."
    ),
    dependencies=[require(Permission.ADMINISTER, _authorise_addition)],
    openapi_extra=raises(AlreadyExistsError),
)
async def invite_member(
    org_id: OrganisationId,
    body: NewMember,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
) -> MemberResource:
    invited = await run_in_threadpool(services.members.invite, caller, org_id, body)
    _send_invitation(services, invited.invitation)
    response.headers["Location"] = f"{request.scope['path']}/{invited.member.membership.user_id}"
    return MemberResource.from_details(invited.member)


@router.put(
    "/{org_id}/members/{user_id:uuid}",
    operation_id="change_member_role",
    summary="Change a member's role",
    description="Change a member's role. API keys of the member with a role that the new one does not include end.",
    dependencies=[require(Permission.ADMINISTER, _find_administered)],
    openapi_extra=raises(LastAdminError),
)
def change_member_role(
    org_id: OrganisationId, user_id: UserId, body: MemberEdit, caller: CurrentCaller, services: ServicesDep
) -> MemberResource:
    return MemberResource.from_details(services.members.change_role(caller, org_id, user_id, body.role))


@router.delete(
    "/{org_id}/members/{user_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="remove_member",
    summary="Remove a member",
    description="Remove a member. Their API keys, sessions and event streams end at once; what they made stays.",
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(LastAdminError),
)
def remove_member(org_id: OrganisationId, user_id: UserId, caller: CurrentCaller, services: ServicesDep) -> None:
    services.members.remove(caller, org_id, user_id)


@router.get(
    "/{org_id}/api-keys",
    operation_id="list_api_keys",
    summary="List API keys",
    description="List the organisation's API keys that are not revoked, newest first, without their secrets.",
    dependencies=[require(Permission.ADMINISTER), limit_large_lists()],
)
def list_api_keys(
    org_id: OrganisationId, caller: CurrentCaller, services: ServicesDep, query: Annotated[ListFilter, Query()]
) -> ApiKeyPage:
    keys, token = services.api_keys.list(caller, org_id, query)
    return ApiKeyPage(items=tuple(map(ApiKeyResource.from_row, keys)), next_page_token=token)


@router.post(
    "/{org_id}/api-keys",
    status_code=HTTPStatus.CREATED,
    operation_id="make_api_key",
    summary="Make an API key",
    description=(
        "Make a key that a program sends as bearer token. It acts for its maker, with a role of its own that the "
        "maker's role includes. The secret is returned only in this response."
    ),
    dependencies=[require(Permission.ADMINISTER, _authorise_addition)],
)
def make_api_key(
    org_id: OrganisationId,
    body: NewApiKey,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
) -> ApiKeyWithSecret:
    issued = services.api_keys.make(caller, org_id, body)
    response.headers["Location"] = f"{request.scope['path']}/{issued.key.id}"
    response.headers["Cache-Control"] = "no-store"
    return ApiKeyWithSecret.from_issued(issued)


@router.delete(
    "/{org_id}/api-keys/{key_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="revoke_api_key",
    summary="Revoke an API key",
    description="Revoke a key. Requests with it are rejected at once, and its event streams end.",
    dependencies=[require(Permission.ADMINISTER)],
)
def revoke_api_key(org_id: OrganisationId, key_id: ApiKeyId, caller: CurrentCaller, services: ServicesDep) -> None:
    services.api_keys.revoke(caller, org_id, key_id)


def _send_invitation(services: Services, invitation: Delivery) -> None:
    services.dispatcher.start(NotificationJob(org_id=invitation.org_id, subject_id=invitation.id))


@router.get(
    "/{org_id}/audit",
    operation_id="list_audit_events",
    summary="List an organisation's audit events",
    description=(
        "List the audit trail of the caller's organisation, newest first. An event has ids, codes and numbers, and no "
        "names or texts; `actor_name` is read from today's members and API keys."
    ),
    dependencies=[require(Permission.READ_AUDIT_TRAIL, _find_own_organisation), limit_large_lists()],
)
def list_audit_events(
    org_id: OrganisationId, caller: CurrentCaller, services: ServicesDep, query: Annotated[AuditTrailQuery, Query()]
) -> OrganisationAuditPage:
    _find_own_organisation(services, caller, org_id)
    events, token = services.audit_trail.list_events(caller, query.to_filter())
    names = services.audit_names.load_actors(caller, (event.actor for event in events))
    items = tuple(OrganisationAuditEvent.from_named_row(event, names) for event in events)
    return OrganisationAuditPage(items=items, next_page_token=token)


@router.get(
    "/{org_id}/audit.csv",
    operation_id="download_audit_events",
    summary="Download an organisation's audit events",
    description="Download all events of the audit trail that match the filters as CSV, newest first.",
    dependencies=[
        require(Permission.READ_AUDIT_TRAIL, _find_own_organisation),
        limit_concurrency(OccupyingUse.LARGE_LISTS),
    ],
    response_class=StreamingResponse,
    responses={HTTPStatus.OK: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The events"}},
)
async def download_audit_events(
    org_id: OrganisationId, caller: CurrentCaller, services: ServicesDep, query: Annotated[AuditTrailCriteria, Query()]
) -> Response:
    await run_in_threadpool(_find_own_organisation, services, caller, org_id)
    return await respond_with_audit_csv(services, caller, query.to_filter(), {"Cache-Control": "no-store"})
