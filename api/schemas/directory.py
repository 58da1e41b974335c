"""Responses for the caller's identity, organisations, activity types and peer mentors."""

from uuid import UUID

from pydantic import Field

from api.schemas.exports import NextPageToken, Resource
from stafett.domain.activity import ActivityTypeInfo
from stafett.domain.membership import Role


class Me(Resource):
    """The caller, as the token identifies them and with the role from the database."""

    user_id: UUID
    org_id: str | None = Field(description="The caller's organisation; null for an operator.")
    role: Role


class OrganisationResource(Resource):
    id: str
    name: str


class OrganisationPage(Resource):
    """All organisations that the caller may see; the list is not paginated."""

    items: tuple[OrganisationResource, ...]
    next_page_token: None = Field(None, description="Always null: the list has one page.")


class ActivityTypePage(Resource):
    """All activity types, in the order in which forms list them."""

    items: tuple[ActivityTypeInfo, ...]
    next_page_token: None = Field(None, description="Always null: the list has one page.")


class MentorResource(Resource):
    id: UUID
    org_id: str
    display_name: str
    active: bool


class MentorPage(Resource):
    """A page of peer mentors, ordered by name."""

    items: tuple[MentorResource, ...]
    next_page_token: NextPageToken = None
