"""Notification emails: valid in every mail client, in plain text and HTML, and without personal data."""

from datetime import UTC, date, datetime
from email.message import EmailMessage
from typing import Any, get_args
from uuid import UUID

import pytest

from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_status import ItemErrorCode
from stafett.domain.export import ExportCounts, Locale
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportErrorCode
from stafett.domain.failure_reasons import describe_export_failure, describe_item_failure
from stafett.domain.membership import Role
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.email import Email, InvitationEmail, JobEmail
from stafett.notifications.job_results import JobResult
from stafett.notifications.messages import EMAIL_TEMPLATES
from tests.support.emails import parse_email, read_body

ID, JOB_ID = UUID("11111111-1111-4111-8111-111111111111"), UUID("22222222-2222-4222-8222-222222222222")
DAYS, PERIOD = (date(2026, 1, 1), date(2026, 12, 31)), "01.01.2026 \N{EN DASH} 31.12.2026"
COUNTS = ExportCounts(queried=12_400, written=12_345, countable=9_000, not_countable=3_345, rejected=55)
EMAIL = JobEmail(
    id=ID,
    address="kari@prøve.example",
    organisation="Prøveforbundet <Ærlig & Åpen>",
    job_type=JobType.EXPORT,
    job_id=JOB_ID,
    outcome=JobOutcome.COMPLETED,
    created_at=datetime(2026, 9, 14, 8, 30, tzinfo=UTC),
    result=JobResult(days=DAYS, counts=COUNTS, deviations=3_400, file_name="bufdir-2026.xlsx"),
)
FAILED_EXPORT = JobResult(days=DAYS, error_code=ExportErrorCode.STORAGE_UNAVAILABLE)
BATCH = JobResult(
    days=(date(2026, 3, 1), date(2026, 3, 1)),
    items=BulkCounts(total=50, pending=0, registered=45, failed=5, cancelled=0),
    failed_items={ItemErrorCode.MENTOR_INACTIVE: 2, ItemErrorCode.OVERLAPPING_ACTIVITY: 3},
)
INVITATION = InvitationEmail(
    id=ID, address="a@b.example", organisation="Prøveforbundet", created_at=EMAIL.created_at, role=Role.AUDITOR
)


def parse_sent(notification: Email) -> EmailMessage:
    """Send the email as bytes and parse it as a mail client would."""
    message = notification.to_message("Stafett <stafett@stafett.example>", "https://stafett.example/")
    return parse_email(message.as_bytes())


def read_part(notification: Email, subtype: str = "plain") -> str:
    return read_body(parse_sent(notification), subtype)


def change(**fields: Any) -> JobEmail:
    return EMAIL.model_copy(update=fields)


def test_email_of_an_export_has_its_counts_its_file_its_page_and_its_command() -> None:
    assert (
        read_part(EMAIL)
        == f"""\
Rapporten du ba om for Prøveforbundet <Ærlig & Åpen>, {PERIOD}, er klar til å lastes ned.

Se gjennom avvikene før du leverer rapporten.

Organisasjon: Prøveforbundet <Ærlig & Åpen>
Periode: {PERIOD}
Rader i filen: 12 345
Teller med i tilskuddet: 9 000
Teller ikke med: 3 345
Utelatt, fordi noe mangler eller er feil: 55
Aktiviteter med avvik: 3 400
Fil: bufdir-2026.xlsx

Åpne rapporten i Stafett:
https://stafett.example/console/exports/{JOB_ID}

På kommandolinjen:
stafett export download {JOB_ID}

Denne meldingen er sendt automatisk og kan ikke besvares.
"""
    )


def test_html_part_has_the_same_lines_escaped_and_loads_nothing() -> None:
    html = read_part(EMAIL, "html")
    assert "Prøveforbundet &lt;Ærlig &amp; Åpen&gt;" in html
    assert "<Ærlig" not in html
    assert f'<a href="https://stafett.example/console/exports/{JOB_ID}">Åpne rapporten i Stafett</a>' in html
    for label, value in (("Rader i filen", "12 345"), ("Fil", "bufdir-2026.xlsx")):
        assert f"{label}</th>\n<td>{value}</td>" in html
    assert "<code>stafett export download" in html
    assert [word for word in ("src=", "<script", "<link", "url(") if word in html] == []


@pytest.mark.parametrize("locale", get_args(Locale))
def test_reexport_without_a_change_reports_that_no_version_was_made(locale: Locale) -> None:
    result = EMAIL.result.model_copy(update={"version": 3, "unchanged": True})
    text = read_part(change(language=locale, job_type=JobType.REEXPORT, result=result))
    assert f"\n\n{EMAIL_TEMPLATES[locale].unchanged.format(version=3)}\n\n" in text


@pytest.mark.parametrize("locale", get_args(Locale))
def test_failed_export_has_the_reason_in_words(locale: Locale) -> None:
    text = read_part(change(language=locale, outcome=JobOutcome.FAILED, result=FAILED_EXPORT))
    assert describe_export_failure("storage_unavailable", locale) in text
    assert f"\nstafett export show {JOB_ID}\n" in text


@pytest.mark.parametrize("locale", get_args(Locale))
def test_batch_with_failures_has_the_reasons_with_the_most_frequent_first(locale: Locale) -> None:
    fields = {"job_type": JobType.BULK_REGISTRATION, "outcome": JobOutcome.COMPLETED_WITH_FAILURES, "result": BATCH}
    text = read_part(change(language=locale, **fields))
    overlap, inactive = (describe_item_failure(code, locale) for code in ("overlapping_activity", "mentor_inactive"))
    assert f"- 3 \N{EN DASH} {overlap}\n- 2 \N{EN DASH} {inactive}\n" in text
    assert f"https://stafett.example/console/bulk/{JOB_ID}\n" in text
    assert f"stafett bulk failed {JOB_ID}\n" in text


def test_new_version_of_a_report_has_its_number() -> None:
    result = EMAIL.result.model_copy(update={"version": 2, "locale": "en"})
    text = read_part(change(job_type=JobType.REEXPORT, result=result))
    assert "\nVersion: 2\nRows in the file: 12,345\n" in text
    assert f"https://stafett.example/console/reexports/{JOB_ID}\n" in text


def test_language_of_the_user_precedes_that_of_the_report() -> None:
    assert parse_sent(change(language="nn"))["Content-Language"] == "nn"
    assert "er klar til å lastast ned" in read_part(change(language="nn"))
    assert parse_sent(EMAIL)["Content-Language"] == "nb"


def test_invitation_is_in_norwegian_and_english_until_the_language_is_known() -> None:
    text = read_part(INVITATION)
    assert "Rolle: revisor\n" in text
    assert "Role: auditor\n" in text
    assert text.count("https://stafett.example/console\n") == 2
    assert read_part(INVITATION, "html").count('<div lang="') == 2
    assert parse_sent(INVITATION)["Content-Language"] == "nb, en"
    known = INVITATION.model_copy(update={"language": "nn"})
    assert (parse_sent(known)["Content-Language"], "Role" in read_part(known)) == ("nn", False)


def test_headers_mark_the_email_as_automatic() -> None:
    message = parse_sent(EMAIL)
    assert message["Subject"] == f"Bufdir-rapporten for {PERIOD} er klar"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Mon, 14 Sep 2026 08:30:00 +0000"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert {part.get_content_charset() for part in message.iter_parts()} == {"utf-8"}


def test_repeated_email_has_the_same_message_id_and_bytes() -> None:
    assert parse_sent(EMAIL)["Message-ID"] == f"<{ID}@stafett.example>"
    assert parse_sent(EMAIL).as_bytes() == parse_sent(EMAIL).as_bytes()


@pytest.mark.parametrize("locale", get_args(Locale))
@pytest.mark.parametrize(("job_type", "outcome"), sorted(EMAIL_TEMPLATES["nb"].texts))
def test_every_outcome_has_a_template_in_every_language(locale: Locale, job_type: JobType, outcome: JobOutcome) -> None:
    message = change(language=locale, job_type=job_type, outcome=outcome)
    subject = parse_sent(message)["Subject"]
    assert ("2026" in subject) is (job_type is not JobType.BULK_REGISTRATION)
    assert "{" not in subject + read_part(message) + read_part(message, "html")


def test_every_error_code_has_a_reason_in_every_language() -> None:
    for locale in get_args(Locale):
        assert len({describe_export_failure(code, locale) for code in ExportErrorCode}) == len(ExportErrorCode)
        assert len({describe_item_failure(code, locale) for code in ItemErrorCode}) == len(ItemErrorCode)


def test_every_final_status_of_an_export_has_a_template() -> None:
    outcomes = {outcome.value for job_type, outcome in EMAIL_TEMPLATES["nb"].texts if job_type is JobType.EXPORT}
    assert outcomes == {status.value for status in EXPORT_FINAL_STATUSES}


def test_email_to_an_ascii_address_is_sent_as_ascii() -> None:
    sent = change(address="kari@nhf.example").to_message("a@b.example", "https://b.example")
    assert sent.as_bytes().isascii()


def test_representation_of_an_email_hides_the_address() -> None:
    assert "kari" not in f"{EMAIL!r} {EMAIL}"
