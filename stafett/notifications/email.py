"""Plain-text emails about a job, and the SMTP client that sends them."""

import email.policy
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from uuid import UUID

from pydantic import Field

from stafett.domain.errors import DeliveryError
from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.messages import WORDS
from stafett.settings import MailSettings

_PLACES = {
    JobType.EXPORT: "bufdir-exports",
    JobType.REEXPORT: "report-reexports",
    JobType.BULK_REGISTRATION: "bulk-registrations",
}
_MAIL = email.policy.SMTP.clone(cte_type="7bit")  # whatever stands between, it arrives as it was written


class Letter(FrozenModel):
    """That a job has ended, for the person who asked for it."""

    id: UUID
    address: str = Field(repr=False)
    locale: Locale
    organisation: str
    period: tuple[date, date] | None
    subject: JobType
    subject_id: UUID
    ending: JobOutcome
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


_SECONDS = 15.0
_FIRST_PERMANENT = 500


class Mailer:
    """One connection a letter: there are few of them, and none waits for another one's server."""

    def __init__(self, settings: MailSettings, tls: ssl.SSLContext, *, seconds: float = _SECONDS) -> None:
        self._settings = settings
        self._tls = tls
        self._seconds = seconds

    def send(self, letter: Letter) -> None:
        settings = self._settings
        message = letter.message(settings.sender, str(settings.public_url))
        with _by_code(), self._connected() as smtp:
            if settings.tls == "starttls":
                smtp.starttls(context=self._tls)
            if settings.user is not None and settings.password is not None:
                smtp.login(settings.user, settings.password.get_secret_value())
            smtp.send_message(message)

    def _connected(self) -> smtplib.SMTP:
        settings, ourselves = self._settings, domain_of(self._settings.sender)
        if settings.tls == "implicit":
            return smtplib.SMTP_SSL(
                settings.host or "", settings.port, ourselves, timeout=self._seconds, context=self._tls
            )
        return smtplib.SMTP(settings.host or "", settings.port, ourselves, timeout=self._seconds)


@contextmanager
def _by_code() -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code = max(status for status, _ in error.recipients.values())
        raise DeliveryError(f"smtp_{code}", is_permanent=code >= _FIRST_PERMANENT) from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"smtp_{error.smtp_code}") from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError("smtp_not_supported") from None
    except ssl.SSLError:
        raise DeliveryError("tls_failed") from None
    except (smtplib.SMTPException, OSError) as error:
        # The library tells of a timeout as of a connection that was closed.
        is_slow = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
        raise DeliveryError("timed_out" if is_slow else "unreachable") from None
