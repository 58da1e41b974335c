"""Requests and responses for an organisation's audit trail."""

from collections.abc import Mapping
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.schemas.exports import AuditEventResource, NextPageToken, Resource
from stafett.audit.events import AuditTrailFilter
from stafett.database.pagination import DEFAULT_PAGE_SIZE, PageSize, PageToken
from stafett.database.tables import AuditEvent
from stafett.domain.fields import IdPrefix, UtcDatetime
from stafett.domain.frozen import FrozenModel

ACTOR_PATTERN = r"^(user|api_key|system):[a-z0-9-]{1,60}$"
ACTOR_PREFIX_PATTERN = r"^(user|api_key):[0-9a-f]{8}[0-9a-f-]{0,28}$"
EVENT_PATTERN = r"^[a-z_]{1,60}$"


class AuditTrailCriteria(FrozenModel):
    """Filters of the organisation's audit trail."""

    subject_id: UUID | None = Field(None, description="Only events about this job, report, member or other object.")
    subject_id_prefix: IdPrefix | None = Field(
        None,
        description="Only events about objects whose id, in hexadecimal digits without hyphens, starts like this.",
    )
    actor: Annotated[str, Field(pattern=ACTOR_PATTERN)] | None = Field(
        None, description="Only events that this user, API key or part of the system caused, such as `user:` and an id."
    )
    actor_prefix: Annotated[str, Field(pattern=ACTOR_PREFIX_PATTERN)] | None = Field(
        None,
        description="Only events whose user or API key starts like this, such as `user:` and the start of an id.",
    )
    event: Annotated[str, Field(pattern=EVENT_PATTERN)] | None = Field(
        None, description="Only events with this name, such as `export_requested`."
    )
    created_after: UtcDatetime | None = Field(None, description="Only events recorded at this time or later.")
    created_before: UtcDatetime | None = Field(None, description="Only events recorded at this time or earlier.")

    def to_filter(self) -> AuditTrailFilter:
        return AuditTrailFilter(
            subject_id=self.subject_id,
            subject_id_prefix=self.subject_id_prefix,
            actor=self.actor,
            actor_prefix=self.actor_prefix,
            event=self.event,
            at_or_after=self.created_after,
            at_or_before=self.created_before,
        )


class AuditTrailQuery(AuditTrailCriteria):
    """Filters and page of the organisation's audit trail."""

    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None

    def to_filter(self) -> AuditTrailFilter:
        page = {"page_size": self.page_size, "page_token": self.page_token}
        return super().to_filter().model_copy(update=page)


class OrganisationAuditEvent(AuditEventResource):
    """An event of the organisation's audit trail, with what it is about."""

    subject_kind: str = Field(description="Kind of the object that the event is about.")
    subject_id: UUID = Field(description="Id of that object.")
    actor_name: str | None = Field(
        description="Today's name of the member or the API key that caused the event; the audit trail itself has none."
    )

    @classmethod
    def from_named_row(cls, event: AuditEvent, names: Mapping[str, str]) -> Self:
        return cls.model_validate(event.model_dump() | {"actor_name": names.get(event.actor)})


class OrganisationAuditPage(Resource):
    """A page of the organisation's audit trail, newest first."""

    items: tuple[OrganisationAuditEvent, ...]
    next_page_token: NextPageToken = None
