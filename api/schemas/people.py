"""Requests and responses for organisations, members, API keys and peer mentors."""

from collections.abc import Sequence
from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from api.field_errors import FieldError, create_field_error
from api.schemas.exports import NextPageToken, Resource
from stafett.database.pagination import OrgIdFilter
from stafett.database.tables import ApiKey
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import MemberRole
from stafett.people.api_keys import IssuedApiKey
from stafett.people.members import MemberDetails
from stafett.people.mentor_import import RowVerdict, Verdict
from stafett.people.mentors import MentorFields, NewMentor, SavedMentor


class OrganisationResource(Resource):
    id: str
    name: str


class OrganisationPage(Resource):
    """All organisations that the caller may see; the list is not paginated."""

    items: tuple[OrganisationResource, ...]
    next_page_token: None = Field(None, description="Always null: the list has one page.")


class MemberResource(Resource):
    user_id: UUID
    org_id: str
    address: str = Field(description="Email address by which the member was invited.")
    display_name: str
    role: MemberRole
    status: Literal["invited", "active"] = Field(description="`active` once the user has signed in.")
    created_at: AwareDatetime

    @classmethod
    def from_details(cls, member: MemberDetails) -> Self:
        status = "active" if member.has_signed_in else "invited"
        fields = {"address": member.user.email, "display_name": member.user.display_name, "status": status}
        return cls.model_validate(member.membership.model_dump() | fields)


class MemberPage(Resource):
    """A page of members, newest first."""

    items: tuple[MemberResource, ...]
    next_page_token: NextPageToken = None


class MemberEdit(FrozenModel):
    """The body of `PUT /organisations/{org_id}/members/{user_id}`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "auditor"}]})

    role: MemberRole = Field(description="New role of the member.")


class ApiKeyResource(Resource):
    id: UUID
    org_id: str
    name: str
    role: MemberRole
    created_by: UUID = Field(description="The user for whom the key acts.")
    created_at: AwareDatetime
    expires_at: AwareDatetime
    last_used_at: AwareDatetime | None = Field(description="Last use, to the minute; null if never used.")

    @classmethod
    def from_row(cls, key: ApiKey, **fields: object) -> Self:
        return cls.model_validate(key.model_dump() | {"created_by": key.user_id, **fields})


class ApiKeyPage(Resource):
    """A page of API keys, newest first."""

    items: tuple[ApiKeyResource, ...]
    next_page_token: NextPageToken = None


class ApiKeyWithSecret(ApiKeyResource):
    """A new key with its secret."""

    secret: str = Field(description="The bearer token. It is returned only in this response.")

    @classmethod
    def from_issued(cls, issued: IssuedApiKey) -> Self:
        return cls.from_row(issued.key, secret=issued.secret)


class MentorResource(Resource):
    id: UUID
    org_id: str
    display_name: str
    active: bool
    branch: str | None = Field(description="Local branch; null if none is recorded.")
    approved_at: AwareDatetime | None = Field(description="When the mentor was approved; null if not recorded.")


class MentorPage(Resource):
    """A page of peer mentors, ordered by name."""

    items: tuple[MentorResource, ...]
    next_page_token: NextPageToken = None


class DuplicateNameWarning(Resource):
    """Other mentors of the organisation have the same name."""

    code: Literal["duplicate_name"] = "duplicate_name"
    mentor_ids: tuple[UUID, ...] = Field(description="At most 20 mentors with the same name.")


class SavedMentorResource(MentorResource):
    """A mentor that was added or changed, with warnings."""

    warnings: tuple[DuplicateNameWarning, ...] = ()

    @classmethod
    def from_saved(cls, saved: SavedMentor) -> Self:
        warnings = [DuplicateNameWarning(mentor_ids=tuple(saved.same_name))] if saved.same_name else []
        return cls.model_validate(saved.mentor.model_dump() | {"warnings": warnings})


class MentorCreate(MentorFields):
    """The body of `POST /peer-mentors`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Kari Nordmann", "branch": "Tromsø"}]})

    org_id: OrgId | None = Field(None, description="Id of the organisation. The default is the caller's own.")

    def to_new_mentor(self, default_org_id: str | None) -> NewMentor:
        return NewMentor(**self.model_dump(exclude={"org_id"}), org_id=self.org_id or default_org_id or "")


class MentorImportQuery(FrozenModel):
    """Query parameters of `POST /peer-mentors/import`."""

    org_id: OrgIdFilter = None
    dry_run: bool = Field(False, description="Return the verdicts and write nothing.")


class MentorRowVerdict(Resource):
    """The verdict on one row of an import."""

    line: int = Field(description="Line of the file; the header is line 1.")
    verdict: Verdict
    mentor_id: UUID | None = Field(description="The new mentor; null for a rejected row and in a dry run.")
    warnings: tuple[Literal["duplicate_name"], ...]
    errors: tuple[FieldError, ...]

    @classmethod
    def from_row(cls, row: RowVerdict) -> Self:
        return cls(
            line=row.line,
            verdict=row.verdict,
            mentor_id=row.mentor_id,
            warnings=("duplicate_name",) if row.has_duplicate_name else (),
            errors=tuple(create_field_error(issue.pointer, issue.code, issue.detail) for issue in row.issues),
        )


class MentorImportCounts(Resource):
    total: int
    accepted: int
    rejected: int
    with_warnings: int


class MentorImportResource(Resource):
    """The result of an import."""

    org_id: str
    dry_run: bool
    counts: MentorImportCounts
    rows: tuple[MentorRowVerdict, ...]

    @classmethod
    def from_verdicts(cls, org_id: str, verdicts: Sequence[RowVerdict], *, dry_run: bool) -> Self:
        accepted = sum(row.verdict is Verdict.ACCEPTED for row in verdicts)
        counts = MentorImportCounts(
            total=len(verdicts),
            accepted=accepted,
            rejected=len(verdicts) - accepted,
            with_warnings=sum(row.has_duplicate_name for row in verdicts),
        )
        return cls(org_id=org_id, dry_run=dry_run, counts=counts, rows=tuple(map(MentorRowVerdict.from_row, verdicts)))
