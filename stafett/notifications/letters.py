"""Letters: plain text in the job's language, about nobody but whom they are for."""

import email.policy
from datetime import date, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from uuid import UUID

from pydantic import Field

from stafett.domain.export import Locale
from stafett.domain.frozen import Frozen
from stafett.domain.notification import Ending, Subject
from stafett.notifications.words import WORDS

_PLACES = {
    Subject.EXPORT: "bufdir-exports",
    Subject.REEXPORT: "report-reexports",
    Subject.BULK_REGISTRATION: "bulk-registrations",
}
_MAIL = email.policy.SMTP.clone(cte_type="7bit")  # whatever stands between, it arrives as it was written


class Letter(Frozen):
    """That a job has ended, for the person who asked for it."""

    id: UUID
    address: str = Field(repr=False)
    locale: Locale
    organisation: str
    period: tuple[date, date] | None
    subject: Subject
    subject_id: UUID
    ending: Ending
    written_at: datetime

    def message(self, sender: str, public_url: str) -> EmailMessage:
        """The same at every try, so that a second copy is known by its id."""
        words = WORDS[self.locale]
        days = (day.strftime(words.date_format) for day in self.period or ())
        filled = {"period": "\N{EN DASH}".join(days), "organisation": self.organisation}
        told = words.ends[self.subject, self.ending]
        link = words.link.format(link=f"{public_url.rstrip('/')}/api/v1/{_PLACES[self.subject]}/{self.subject_id}")
        message = EmailMessage(policy=_MAIL)
        message["From"] = sender
        message["To"] = self.address
        message["Subject"] = told.subject.format(**filled)
        message["Date"] = format_datetime(self.written_at)
        message["Message-ID"] = f"<{self.id}@{domain_of(sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{told.opening.format(**filled)}\n\n{link}\n\n{words.closing}\n")
        message["Content-Language"] = self.locale
        return message


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].rstrip(">")
