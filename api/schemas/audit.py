"""Requests and responses for an organisation's audit trail."""

import re
from collections.abc import Mapping
from typing import Annotated, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.exports import AuditEventResource, NextPageToken, Resource
from stafett.audit.events import AuditTrailFilter
from stafett.database.pagination import DEFAULT_PAGE_SIZE, PageSize, PageToken
from stafett.database.tables import AuditEvent
from stafett.domain.audit_event_names import AUDIT_EVENT_NAMES, find_nearest_event_names
from stafett.domain.fields import ID_PREFIX_PATTERN, IdPrefix, UtcDatetime, hyphenate_id_prefix
from stafett.domain.frozen import FrozenModel

_ACTOR_PATTERN = r"^(user|api_key|system):[a-z0-9-]{1,60}$"
_ACTOR_PREFIX_PATTERN = f"^(user|api_key):{ID_PREFIX_PATTERN}$"
EVENT_PATTERN = r"^[a-z_]{1,60}$"


def _require_actor(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(_ACTOR_PATTERN, value):
        return value
    raise PydanticCustomError(
        "string_pattern_mismatch",
        "Expected `user:` or `api_key:` and an id, such as user:5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10, or a part of the"
        " system, such as system:worker",
    )


def _parse_actor_prefix(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(_ACTOR_PREFIX_PATTERN, value):
        kind, _, digits = value.partition(":")
        return f"{kind}:{hyphenate_id_prefix(digits.replace('-', '').lower())}"
    raise PydanticCustomError(
        "string_pattern_mismatch",
        "Expected `user:` or `api_key:` and the first 8 or more hexadecimal digits of an id, with or without hyphens,"
        " such as user:5e4d7a34-95a4",
    )


def _require_event_name(value: object) -> object:
    if value in AUDIT_EVENT_NAMES:
        return value
    nearest = find_nearest_event_names(value) if isinstance(value, str) else ()
    hint = f"the nearest are {', '.join(nearest)}" if nearest else "/openapi.json lists the names at this parameter"
    raise PydanticCustomError("enum", f"There is no such event; {hint}")


Actor = Annotated[str, Field(pattern=_ACTOR_PATTERN), BeforeValidator(_require_actor)]
ActorPrefix = Annotated[str, Field(pattern=_ACTOR_PREFIX_PATTERN), BeforeValidator(_parse_actor_prefix)]
EventName = Annotated[
    str, BeforeValidator(_require_event_name), WithJsonSchema({"type": "string", "enum": [*AUDIT_EVENT_NAMES]})
]


class AuditTrailCriteria(FrozenModel):
    """Filters of the organisation's audit trail."""

    subject_id: UUID | None = Field(None, description="Only events about this job, report, member or other object.")
    subject_id_prefix: IdPrefix | None = Field(
        None,
        description="Only events about objects whose id starts with these 8 or more hexadecimal digits; hyphens are"
        " ignored.",
    )
    actor: Actor | None = Field(
        None,
        description="Only events that this user, API key or part of the system caused: `user:` or `api_key:` and an id,"
        " or `system:` and a name, such as `system:worker`.",
    )
    actor_prefix: ActorPrefix | None = Field(
        None,
        description="Only events of users or API keys whose id starts like this: `user:` or `api_key:` and 8 or more"
        " hexadecimal digits; hyphens are ignored.",
    )
    event: EventName | None = Field(None, description="Only events with this name, such as `export_requested`.")
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
