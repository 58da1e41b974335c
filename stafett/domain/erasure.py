"""Forgetting a person: who is meant, and what of them was found, by opaque ids and counts alone."""

from enum import StrEnum
from uuid import UUID

from stafett.domain.export import OrgId
from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import FrozenModel

ERASED_NAME = "Slettet person"
"""What everybody is called who was erased, in every language of a report."""


class PersonKind(StrEnum):
    """What somebody is to the organisation."""

    MENTOR = "mentor"
    USER = "user"


class Person(FrozenModel):
    """Somebody whom an organisation is to forget."""

    kind: PersonKind
    id: UUID
    org_id: OrgId


class EmptiedExport(FrozenModel):
    """An export that has lost its files, and the entry of the history that it made."""

    id: UUID
    report_id: UUID | None = None


class ErasureSummary(FrozenModel):
    """What was changed, and what somebody has to look at because no program should decide it."""

    notes_cleared: int = 0
    attachments_removed: int = 0
    exports_emptied: tuple[EmptiedExport, ...] = ()
    memberships_removed: int = 0
    emails_given_up: int = 0
    activities_to_review: tuple[UUID, ...] = ()
    exports_to_review: tuple[UUID, ...] = ()
    batches_to_review: tuple[UUID, ...] = ()

    def merge(self, other: "ErasureSummary") -> "ErasureSummary":
        """Counts are added up, and nothing is listed twice."""
        merged = {
            name: _merge_values(getattr(self, name), getattr(other, name)) for name in ErasureSummary.model_fields
        }
        return ErasureSummary.model_validate(merged)

    @property
    def counts(self) -> dict[str, int]:
        values = {name: getattr(self, name) for name in ErasureSummary.model_fields}
        return {name: value if isinstance(value, int) else len(value) for name, value in values.items()}


class ErasureReport(FrozenModel):
    """How an erasure stands; of one that was only looked into, what it would touch."""

    person: Person
    dry_run: bool = False
    already_erased: bool = False
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    summary: ErasureSummary = ErasureSummary()
    running_export_ids: tuple[UUID, ...] = ()
    account_retained_for: tuple[str, ...] = ()


def _merge_values(first: object, second: object) -> object:
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    assert isinstance(first, tuple)  # noqa: S101 - a count or a list, there is nothing else
    assert isinstance(second, tuple)  # noqa: S101 - the same
    return tuple(dict.fromkeys((*first, *second)))
