"""Notification emails: valid in every mail client, and without personal data."""

import email
import email.policy
from datetime import UTC, date, datetime
from email.message import EmailMessage
from typing import get_args
from uuid import UUID

import pytest

from stafett.domain.export import Locale
from stafett.domain.export_status import EXPORT_FINAL_STATUSES
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.email import Email, JobEmail
from stafett.notifications.messages import EMAIL_TEMPLATES

ID, EXPORT_ID = UUID("11111111-1111-4111-8111-111111111111"), UUID("22222222-2222-4222-8222-222222222222")
PERIOD = "01.01.2026\N{EN DASH}31.12.2026"
EMAIL = JobEmail(
    id=ID,
    address="kari@prøve.example",
    locale="nb",
    organisation="Prøveforbundet Ærlig & Åpen",
    period=(date(2026, 1, 1), date(2026, 12, 31)),
    job_type=JobType.EXPORT,
    job_id=EXPORT_ID,
    outcome=JobOutcome.COMPLETED,
    created_at=datetime(2026, 9, 14, 8, 30, tzinfo=UTC),
)


def parse_sent(notification: Email) -> EmailMessage:
    """Send the email as bytes and parse it as a mail client would."""
    sent = notification.to_message("Stafett <stafett@stafett.example>", "https://stafett.example/").as_bytes()
    return email.message_from_bytes(sent, policy=email.policy.default)


def test_email_names_the_period_the_outcome_and_the_link() -> None:
    text = parse_sent(EMAIL).get_content()
    assert f"Prøveforbundet Ærlig & Åpen, {PERIOD}, er klar til å lastes ned." in text
    assert f"https://stafett.example/api/v1/bufdir-exports/{EXPORT_ID}\r\n" in text


def test_headers_mark_the_email_as_automatic() -> None:
    message = parse_sent(EMAIL)
    assert message["Subject"] == f"Bufdir-eksporten for {PERIOD} er klar"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Mon, 14 Sep 2026 08:30:00 +0000"
    assert message["Content-Language"] == "nb"
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"


def test_repeated_email_has_the_same_message_id_and_bytes() -> None:
    assert parse_sent(EMAIL)["Message-ID"] == f"<{ID}@stafett.example>"
    assert parse_sent(EMAIL).as_bytes() == parse_sent(EMAIL).as_bytes()


@pytest.mark.parametrize("locale", get_args(Locale))
@pytest.mark.parametrize(("job_type", "outcome"), sorted(EMAIL_TEMPLATES["nb"].texts))
def test_every_outcome_has_a_template_in_every_language(locale: Locale, job_type: JobType, outcome: JobOutcome) -> None:
    message = parse_sent(EMAIL.model_copy(update={"locale": locale, "job_type": job_type, "outcome": outcome}))
    assert ("2026" in message["Subject"]) is (job_type is not JobType.BULK_REGISTRATION)
    assert "{" not in message["Subject"] + message.get_content()


def test_every_final_status_of_an_export_has_a_template() -> None:
    outcomes = {outcome.value for job_type, outcome in EMAIL_TEMPLATES["nb"].texts if job_type is JobType.EXPORT}
    assert outcomes == {status.value for status in EXPORT_FINAL_STATUSES}


def test_email_to_an_ascii_address_is_sent_as_ascii() -> None:
    sent = EMAIL.model_copy(update={"address": "kari@nhf.example"}).to_message("a@b.example", "https://b.example")
    assert sent.as_bytes().isascii()


def test_representation_of_an_email_hides_the_address() -> None:
    assert "kari" not in f"{EMAIL!r} {EMAIL}"
