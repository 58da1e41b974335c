"""Erasure of a person's data (GDPR): the person and the changes, by opaque ids and counts only."""

from enum import StrEnum
from uuid import UUID

from pydantic import Field

from stafett.domain.export import OrgId
from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import FrozenModel

ERASED_NAME = "Slettet person"
"""Replaces the name of an erased person, in reports of every language."""


class PersonKind(StrEnum):
    """Kind of person whose data an organisation can erase."""

    MENTOR = "mentor"
    USER = "user"


class Person(FrozenModel):
    """A person whose data an organisation erases."""

    kind: PersonKind
    id: UUID
    org_id: OrgId


class EmptiedExport(FrozenModel):
    """An export whose files were removed, its report in the history, and the version that was handed in, if any."""

    id: UUID
    report_id: UUID | None = None
    handed_in_version: int | None = Field(None, exclude_if=lambda value: value is None)


class ErasureSummary(FrozenModel):
    """Changes made by an erasure, and records that an administrator has to review because a program cannot decide."""

    notes_cleared: int = 0
    texts_cleared: int = 0
    idempotency_keys_removed: int = 0
    attachments_removed: int = 0
    exports_emptied: tuple[EmptiedExport, ...] = ()
    memberships_removed: int = 0
    emails_given_up: int = 0
    activities_to_review: tuple[UUID, ...] = ()
    exports_to_review: tuple[UUID, ...] = ()
    batches_to_review: tuple[UUID, ...] = ()
    reexports_to_review: tuple[UUID, ...] = ()
    reports_to_review: tuple[UUID, ...] = ()
    webhooks_to_review: tuple[UUID, ...] = ()
    mappings_to_review: tuple[UUID, ...] = ()
    mentors_to_review: tuple[UUID, ...] = ()

    def merge(self, other: "ErasureSummary") -> "ErasureSummary":
        """Add up the counts, and join the lists without duplicates."""
        merged = {
            name: _merge_values(getattr(self, name), getattr(other, name)) for name in ErasureSummary.model_fields
        }
        return ErasureSummary.model_validate(merged)

    @property
    def counts(self) -> dict[str, int]:
        values = {name: getattr(self, name) for name in ErasureSummary.model_fields}
        return {name: value if isinstance(value, int) else len(value) for name, value in values.items()}


class RemainingCopy(FrozenModel):
    """A place that may still have data of an erased person, and what removes them there."""

    place: str
    removed_by: str


class ErasureReport(FrozenModel):
    """State of an erasure. A dry run reports what the erasure would change."""

    person: Person
    dry_run: bool = False
    already_erased: bool = False
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    summary: ErasureSummary = ErasureSummary()
    running_export_ids: tuple[UUID, ...] = ()
    account_retained_for: tuple[str, ...] = ()
    remaining_copies: tuple[RemainingCopy, ...] = ()


def _merge_values(first: object, second: object) -> object:
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    assert isinstance(first, tuple)  # noqa: S101 - every field is a count or a tuple
    assert isinstance(second, tuple)  # noqa: S101 - the same
    return tuple(dict.fromkeys((*first, *second)))
