"""Forgetting a person: who is meant, and what of them was found, by opaque ids and counts alone."""

from enum import StrEnum
from uuid import UUID

from stafett.domain.export import OrgId
from stafett.domain.fields import Moment
from stafett.domain.frozen import Frozen

ERASED_NAME = "Slettet person"
"""What everybody is called who was erased, in every language of a report."""


class PersonKind(StrEnum):
    """What somebody is to the organisation."""

    MENTOR = "mentor"
    USER = "user"


class Person(Frozen):
    """Somebody whom an organisation is to forget."""

    kind: PersonKind
    id: UUID
    org_id: OrgId


class EmptiedExport(Frozen):
    """An export that has lost its files, and the entry of the history that it made."""

    id: UUID
    report_id: UUID | None = None


class Touched(Frozen):
    """What was changed, and what somebody has to look at because no program should decide it."""

    notes_cleared: int = 0
    attachments_removed: int = 0
    exports_emptied: tuple[EmptiedExport, ...] = ()
    memberships_removed: int = 0
    letters_given_up: int = 0
    activities_to_look_at: tuple[UUID, ...] = ()
    exports_to_look_at: tuple[UUID, ...] = ()
    batches_to_look_at: tuple[UUID, ...] = ()

    def plus(self, more: "Touched") -> "Touched":
        """Counts are added up, and nothing is listed twice."""
        merged = {name: _merged(getattr(self, name), getattr(more, name)) for name in Touched.model_fields}
        return Touched.model_validate(merged)

    @property
    def counts(self) -> dict[str, int]:
        values = {name: getattr(self, name) for name in Touched.model_fields}
        return {name: value if isinstance(value, int) else len(value) for name, value in values.items()}


class ErasureReport(Frozen):
    """How an erasure stands; of one that was only looked into, what it would touch."""

    person: Person
    dry_run: bool = False
    already_erased: bool = False
    begun_at: Moment | None = None
    finished_at: Moment | None = None
    touched: Touched = Touched()
    exports_running: tuple[UUID, ...] = ()
    account_kept_for: tuple[str, ...] = ()


def _merged(one: object, other: object) -> object:
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    assert isinstance(one, tuple)  # noqa: S101 - a count or a list, there is nothing else
    assert isinstance(other, tuple)  # noqa: S101 - the same
    return tuple(dict.fromkeys((*one, *other)))
