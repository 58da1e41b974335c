"""Responses for the caller's identity and activity types."""

from uuid import UUID

from pydantic import Field

from api.schemas.exports import Resource
from stafett.domain.activity import ActivityTypeInfo
from stafett.domain.membership import Role


class Me(Resource):
    """The caller, as the token identifies them and with the role from the database."""

    user_id: UUID
    org_id: str | None = Field(description="The caller's organisation; null for an operator.")
    role: Role


class ActivityTypePage(Resource):
    """All activity types, in the order in which forms list them."""

    items: tuple[ActivityTypeInfo, ...]
    next_page_token: None = Field(None, description="Always null: the list has one page.")
