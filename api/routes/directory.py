"""Reference data: the caller, organisations, activity types and peer mentors."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.concurrency import limit_large_lists
from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.schemas.directory import (
    ActivityTypePage,
    Me,
    MentorPage,
    MentorResource,
    OrganisationPage,
    OrganisationResource,
)
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.membership import Permission
from stafett.people.directory import MentorFilter

router = APIRouter(tags=["Directory"], route_class=GuardedRoute)


@router.get(
    "/me",
    operation_id="get_me",
    summary="Get the caller",
    description="Get the caller's id, organisation and role.",
    dependencies=[require(Permission.VIEW_JOBS)],
)
def get_me(caller: CurrentCaller) -> Me:
    return Me.model_validate(caller)


@router.get(
    "/organisations",
    operation_id="list_organisations",
    summary="List organisations",
    description="List the caller's organisation; for operators, all organisations.",
    dependencies=[require(Permission.VIEW_JOBS), limit_large_lists()],
)
def list_organisations(caller: CurrentCaller, services: ServicesDep) -> OrganisationPage:
    organisations = services.organisations.list(caller)
    return OrganisationPage(items=tuple(map(OrganisationResource.model_validate, organisations)))


@router.get(
    "/activity-types",
    operation_id="list_activity_types",
    summary="List activity types",
    description="List the activity types with their names and counting rules per locale.",
    dependencies=[require(Permission.VIEW_JOBS)],
)
def list_activity_types() -> ActivityTypePage:
    return ActivityTypePage(items=ACTIVITY_TYPES)


@router.get(
    "/peer-mentors",
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
