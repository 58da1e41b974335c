"""What goes over the wire for somebody who gets going: who they are, and what there is to choose from."""

from uuid import UUID

from pydantic import Field

from api.paging import MAX_TOKEN_LENGTH
from api.schemas.exports import Resource
from stafett.domain.activity import ActivityTypeInfo
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Role


class Me(Resource):
    """Who the token says you are, and what the database says you are to your organisation."""

    user_id: UUID
    org_id: str | None
    role: Role


class OrganisationResource(Resource):
    id: str
    name: str


class OrganisationPage(Resource):
    """All of them: there are never many."""

    items: tuple[OrganisationResource, ...]
    next_page_token: None = None


class ActivityTypePage(Resource):
    """All of them, in the order of forms."""

    items: tuple[ActivityTypeInfo, ...]
    next_page_token: None = None


class MentorListQuery(FrozenModel):
    """Which peer mentors a list shows."""

    org_id: OrgId | None = None
    active: bool | None = None
    q: str | None = Field(None, min_length=1, max_length=100, description="A part of the name.")
    page_size: int = Field(50, ge=1, le=200)
    page_token: str | None = Field(None, max_length=MAX_TOKEN_LENGTH)


class MentorResource(Resource):
    """A peer mentor, as far as choosing one goes."""

    id: UUID
    org_id: str
    display_name: str
    active: bool


class MentorPage(Resource):
    """One page of a list, by name."""

    items: tuple[MentorResource, ...]
    next_page_token: str | None = None
