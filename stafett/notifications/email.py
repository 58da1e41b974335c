"""Emails about jobs and invitations, and the SMTP client that sends them."""

import smtplib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from babel.numbers import format_decimal
from pydantic import Field

from stafett.domain.errors import DeliveryError
from stafett.domain.export import Locale
from stafett.domain.failure_reasons import describe_export_failure, describe_item_failure
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import MemberRole
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.job_results import JobResult
from stafett.notifications.layout import Command, EmailSection, Link, render_html, render_text
from stafett.notifications.messages import EMAIL_TEMPLATES, EmailTemplate, FactLabels
from stafett.settings import MailSettings

_JOB_PATHS = {JobType.EXPORT: "exports", JobType.REEXPORT: "reexports", JobType.BULK_REGISTRATION: "bulk"}
_COMMANDS = {JobType.EXPORT: "export", JobType.REEXPORT: "reexport", JobType.BULK_REGISTRATION: "bulk"}
_LANGUAGES_OF_UNKNOWN_USERS: tuple[Locale, ...] = ("nb", "en")
_EMAIL_POLICY = policy.SMTP.clone(cte_type="7bit")  # no mail server on the way has to re-encode the text


class EmailContent(NamedTuple):
    """Subject of an email, and its message in one or more languages."""

    subject: str
    sections: Sequence[EmailSection]


class Email(FrozenModel, ABC):
    """An email to one user."""

    id: UUID
    address: str = Field(repr=False)
    language: Locale | None = None
    """The language that the user has chosen."""
    organisation: str
    created_at: datetime

    @abstractmethod
    def build_content(self, console_url: str) -> EmailContent:
        """Build the same content at every attempt."""

    def to_message(self, sender: str, public_url: str) -> EmailMessage:
        """Build the same message at every attempt, so that a duplicate is recognised by its ``Message-ID``."""
        subject, sections = self.build_content(f"{public_url.rstrip('/')}/console")
        message = EmailMessage(policy=_EMAIL_POLICY)
        message["From"] = sender
        message["To"] = self.address
        message["Subject"] = subject
        message["Date"] = format_datetime(self.created_at)
        message["Message-ID"] = f"<{self.id}@{get_email_domain(sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(render_text(sections))
        message.add_alternative(render_html(subject, sections), subtype="html")
        message.set_boundary(f"stafett-{self.id}")
        message["Content-Language"] = ", ".join(section.language for section in sections)
        return message


class InvitationEmail(Email):
    """Email to a new member of an organisation, in Norwegian and English if the member has chosen no language."""

    role: MemberRole

    def build_content(self, console_url: str) -> EmailContent:
        languages = (self.language,) if self.language else _LANGUAGES_OF_UNKNOWN_USERS
        subject = EMAIL_TEMPLATES[languages[0]].invitation.subject.format(organisation=self.organisation)
        return EmailContent(subject, [self._build_section(language, console_url) for language in languages])

    def _build_section(self, language: Locale, console_url: str) -> EmailSection:
        template = EMAIL_TEMPLATES[language]
        labels, texts = template.labels, template.invitation
        return EmailSection(
            language=language,
            opening=(texts.opening.format(organisation=self.organisation), texts.instruction),
            facts=((labels.organisation, self.organisation), (labels.role, texts.roles[self.role])),
            link=Link(texts.link, console_url),
            closing=template.closing,
        )


class JobEmail(Email):
    """Email to the user who requested a job that the job has ended."""

    job_type: JobType
    job_id: UUID
    outcome: JobOutcome
    result: JobResult

    def build_content(self, console_url: str) -> EmailContent:
        language = self.language or self.result.locale
        template = EMAIL_TEMPLATES[language]
        texts, values = template.texts[self.job_type, self.outcome], {"organisation": self.organisation}
        values["period"] = self._format_days(template)
        section = EmailSection(
            language=language,
            opening=(texts.opening.format(**values), *self._list_advice(language, template)),
            facts=list(self._list_facts(template)),
            remarks=list(self._list_item_failures(language, template)),
            link=Link(template.links[self.job_type], f"{console_url}/{_JOB_PATHS[self.job_type]}/{self.job_id}"),
            command=Command(template.command, f"stafett {_COMMANDS[self.job_type]} {self._verb} {self.job_id}"),
            closing=template.closing,
        )
        return EmailContent(texts.subject.format(**values), [section])

    @property
    def _verb(self) -> str:
        if self.result.file_name is not None:
            return "download"
        return "failed" if self.result.failed_items else "show"

    def _list_advice(self, language: Locale, template: EmailTemplate) -> Iterator[str]:
        if self.result.error_code is not None:
            yield describe_export_failure(self.result.error_code, language)
        if self.result.unchanged:
            yield template.unchanged.format(version=self.result.version)
        if self.result.deviations:
            yield template.check_deviations

    def _list_item_failures(self, language: Locale, template: EmailTemplate) -> Iterator[str]:
        for code, count in sorted(self.result.failed_items.items(), key=itemgetter(1), reverse=True):
            number = format_decimal(count, locale=template.number_locale)
            yield f"{number} \N{EN DASH} {describe_item_failure(code, language)}"

    def _list_facts(self, template: EmailTemplate) -> Iterator[tuple[str, str]]:
        labels, result = template.labels, self.result
        yield labels.organisation, self.organisation
        if result.days is not None:
            is_batch = self.job_type is JobType.BULK_REGISTRATION
            yield labels.day if is_batch else labels.period, self._format_days(template)
        for label, count in _list_counts(labels, result):
            yield label, format_decimal(count, locale=template.number_locale)
        if result.file_name is not None:
            yield labels.file, result.file_name

    def _format_days(self, template: EmailTemplate) -> str:
        days = dict.fromkeys(day.strftime(template.date_format) for day in self.result.days or ())
        return " \N{EN DASH} ".join(days)


def _list_counts(labels: FactLabels, result: JobResult) -> Iterator[tuple[str, int]]:
    """List the numbers that the email reports; cancelled items only if there are any."""
    if result.version is not None:
        yield labels.version, result.version
    if result.counts is not None:
        yield labels.rows, result.counts.written
        yield labels.countable, result.counts.countable
        yield labels.not_countable, result.counts.not_countable
        yield labels.rejected, result.counts.rejected
        yield labels.deviations, result.deviations or 0
    if result.items is not None:
        yield labels.mentors, result.items.total
        yield labels.registered, result.items.registered
        yield labels.failed, result.items.failed
        if result.items.cancelled:
            yield labels.cancelled, result.items.cancelled


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
