"""What letters say of a job beyond how it ended: one way of finding out for each kind of job."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlmodel import Session

from stafett.database.tables import Export
from stafett.domain.export import Locale
from stafett.domain.notification import Subject
from stafett.export_jobs import job_of


class About(NamedTuple):
    """The language of a letter, and the first and the last day of what it is about, if it is about a period."""

    locale: Locale
    period: tuple[date, date] | None


def _export(session: Session, export_id: UUID) -> About:
    export = session.get_one(Export, export_id)
    return About(export.parameters["locale"], job_of(export).days)


ABOUT: Mapping[Subject, Callable[[Session, UUID], About]] = {Subject.EXPORT: _export}
