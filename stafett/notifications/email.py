"""Plain-text emails about jobs and invitations, and the SMTP client that sends them."""

import smtplib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import Field

from stafett.domain.errors import DeliveryError
from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import MemberRole
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.messages import EMAIL_TEMPLATES, INVITATION_PARAGRAPHS, INVITATION_SUBJECT
from stafett.settings import MailSettings

_API_PATHS = {
    JobType.EXPORT: "bufdir-exports",
    JobType.REEXPORT: "report-reexports",
    JobType.BULK_REGISTRATION: "bulk-registrations",
}
_EMAIL_POLICY = policy.SMTP.clone(cte_type="7bit")  # no mail server on the way has to re-encode the text


class EmailContent(NamedTuple):
    """Subject, text and languages of an email."""

    subject: str
    text: str
    languages: str


class Email(FrozenModel, ABC):
    """An email to one user."""

    id: UUID
    address: str = Field(repr=False)
    organisation: str
    created_at: datetime

    @abstractmethod
    def build_content(self, public_url: str) -> EmailContent:
        """Build the same content at every attempt."""

    def to_message(self, sender: str, public_url: str) -> EmailMessage:
        """Build the same message at every attempt, so that a duplicate is recognised by its ``Message-ID``."""
        content = self.build_content(public_url.rstrip("/"))
        message = EmailMessage(policy=_EMAIL_POLICY)
        message["From"] = sender
        message["To"] = self.address
        message["Subject"] = content.subject
        message["Date"] = format_datetime(self.created_at)
        message["Message-ID"] = f"<{self.id}@{get_email_domain(sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(content.text)
        message["Content-Language"] = content.languages
        return message


class InvitationEmail(Email):
    """Email to a new member of an organisation, in Norwegian and English: the member's language is unknown."""

    role: MemberRole

    def build_content(self, public_url: str) -> EmailContent:
        values = {"organisation": self.organisation, "link": f"{public_url}/console"}
        paragraphs = (
            template.format(**values, role=template_roles[self.role])
            for template, template_roles in INVITATION_PARAGRAPHS
        )
        subject = INVITATION_SUBJECT.format(**values)
        return EmailContent(subject, "\n\n".join(paragraphs) + "\n", "nb, en")


class JobEmail(Email):
    """Email to the user who requested a job that the job has ended."""

    locale: Locale
    period: tuple[date, date] | None
    job_type: JobType
    job_id: UUID
    outcome: JobOutcome

    def build_content(self, public_url: str) -> EmailContent:
        template = EMAIL_TEMPLATES[self.locale]
        days = (day.strftime(template.date_format) for day in self.period or ())
        values = {"period": "\N{EN DASH}".join(days), "organisation": self.organisation}
        texts = template.texts[self.job_type, self.outcome]
        link = template.link_line.format(link=f"{public_url}/api/v1/{_API_PATHS[self.job_type]}/{self.job_id}")
        text = f"{texts.opening.format(**values)}\n\n{link}\n\n{template.closing}\n"
        return EmailContent(texts.subject.format(**values), text, self.locale)


def get_email_domain(address: str) -> str:
    return address.rpartition("@")[2].rstrip(">")


_SMTP_TIMEOUT = 15.0
_MIN_PERMANENT_CODE = 500


class SmtpSender:
    """Sends each email over a connection of its own: there are few, and none waits for another."""

    def __init__(self, settings: MailSettings, tls: ssl.SSLContext, *, timeout: float = _SMTP_TIMEOUT) -> None:
        self._settings = settings
        self._tls = tls
        self._timeout = timeout

    def send(self, email: Email) -> None:
        settings = self._settings
        message = email.to_message(settings.sender, str(settings.public_url))
        with _translate_smtp_errors(), self._connect() as smtp:
            if settings.tls == "starttls":
                smtp.starttls(context=self._tls)
            if settings.user is not None and settings.password is not None:
                smtp.login(settings.user, settings.password.get_secret_value())
            smtp.send_message(message)

    def _connect(self) -> smtplib.SMTP:
        settings, local_hostname = self._settings, get_email_domain(self._settings.sender)
        if settings.tls == "implicit":
            return smtplib.SMTP_SSL(
                settings.host or "", settings.port, local_hostname, timeout=self._timeout, context=self._tls
            )
        return smtplib.SMTP(settings.host or "", settings.port, local_hostname, timeout=self._timeout)


@contextmanager
def _translate_smtp_errors() -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code = max(status for status, _ in error.recipients.values())
        raise DeliveryError(f"smtp_{code}", is_permanent=code >= _MIN_PERMANENT_CODE) from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"smtp_{error.smtp_code}") from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError("smtp_not_supported") from None
    except ssl.SSLError:
        raise DeliveryError("tls_failed") from None
    except (smtplib.SMTPException, OSError) as error:
        # smtplib reports a timeout as a closed connection.
        is_slow = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
        raise DeliveryError("timed_out" if is_slow else "unreachable") from None
