"""Letters: right in every mail program, and about nobody."""

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
from stafett.notifications.email import Email
from stafett.notifications.messages import EMAIL_TEMPLATES

ID, EXPORT_ID = UUID("11111111-1111-4111-8111-111111111111"), UUID("22222222-2222-4222-8222-222222222222")
PERIOD = "01.01.2026\N{EN DASH}31.12.2026"
LETTER = Email(
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


def received(letter: Email) -> EmailMessage:
    """What somebody's mail program makes of the bytes."""
    sent = letter.to_message("Stafett <stafett@stafett.example>", "https://stafett.example/").as_bytes()
    return email.message_from_bytes(sent, policy=email.policy.default)


def test_a_letter_says_which_export_ended_how_and_where_to_look() -> None:
    text = received(LETTER).get_content()
    assert f"Prøveforbundet Ærlig & Åpen, {PERIOD}, er klar til å lastes ned." in text
    assert f"https://stafett.example/api/v1/bufdir-exports/{EXPORT_ID}\r\n" in text


def test_its_headers_are_those_of_a_machine_that_wants_no_answer() -> None:
    message = received(LETTER)
    assert message["Subject"] == f"Bufdir-eksporten for {PERIOD} er klar"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Mon, 14 Sep 2026 08:30:00 +0000"
    assert message["Content-Language"] == "nb"
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"


def test_a_second_copy_is_known_by_its_id_and_is_the_same_to_the_byte() -> None:
    assert received(LETTER)["Message-ID"] == f"<{ID}@stafett.example>"
    assert received(LETTER).as_bytes() == received(LETTER).as_bytes()


@pytest.mark.parametrize("locale", get_args(Locale))
@pytest.mark.parametrize(("subject", "ending"), sorted(EMAIL_TEMPLATES["nb"].texts))
def test_every_end_has_words_in_every_language(locale: Locale, subject: JobType, ending: JobOutcome) -> None:
    message = received(LETTER.model_copy(update={"locale": locale, "job_type": subject, "outcome": ending}))
    assert ("2026" in message["Subject"]) is (subject is not JobType.BULK_REGISTRATION)
    assert "{" not in message["Subject"] + message.get_content()


def test_every_end_of_an_export_can_be_told() -> None:
    told = {ending.value for subject, ending in EMAIL_TEMPLATES["nb"].texts if subject is JobType.EXPORT}
    assert told == {status.value for status in EXPORT_FINAL_STATUSES}


def test_a_letter_is_not_bytes_that_some_server_would_refuse() -> None:
    sent = LETTER.model_copy(update={"address": "kari@nhf.example"}).to_message("a@b.example", "https://b.example")
    assert sent.as_bytes().isascii()


def test_a_letter_that_is_shown_shows_no_address() -> None:
    assert "kari" not in f"{LETTER!r} {LETTER}"
