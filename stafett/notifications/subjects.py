"""What letters say of a job beyond how it ended: one way of finding out for each kind of job."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlmodel import Session

from stafett.database.tables import Export, Report, ReportReexport
from stafett.domain.export import Locale
from stafett.domain.notification import Subject
from stafett.domain.reporting_period import OSLO


class About(NamedTuple):
    """The language of a letter, and the first and the last day of what it is about, if it is about a period."""

    locale: Locale
    period: tuple[date, date] | None


def _export(session: Session, export_id: UUID) -> About:
    export = session.get_one(Export, export_id)
    return About(export.parameters["locale"], export.job.days)


def _reexport(session: Session, reexport_id: UUID) -> About:
    """In the language of the report that was there before."""
    row = session.get_one(ReportReexport, reexport_id)
    report = session.get_one(Report, row.report_id)
    first, last = (moment.astimezone(OSLO).date() for moment in row.job.period)
    return About(report.parameters["locale"], (first, last))


def _bulk_registration(_session: Session, _batch_id: UUID) -> About:
    return About("nb", None)


ABOUT: Mapping[Subject, Callable[[Session, UUID], About]] = {
    Subject.EXPORT: _export,
    Subject.REEXPORT: _reexport,
    Subject.BULK_REGISTRATION: _bulk_registration,
}
