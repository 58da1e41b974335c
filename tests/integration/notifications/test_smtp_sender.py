"""Emails sent to a real mail server: the one of the development stack."""

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from stafett.devstack.mail_server import MailFolder, run_mail_server
from stafett.domain.errors import DeliveryError
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.email import JobEmail, SmtpSender
from stafett.notifications.job_results import JobResult
from stafett.settings import MailSettings
from tests.support.emails import parse_email, read_body
from tests.support.webhook_receiver import SelfSignedCertificate

PASSWORD = "hemmelig"  # noqa: S105 - the password of a server that exists only during its test
ADDRESS = "kari.nordmann@nhf.example"


def create_email() -> JobEmail:
    return JobEmail(
        id=uuid4(),
        address=ADDRESS,
        organisation="Prøveforbundet",
        job_type=JobType.EXPORT,
        job_id=uuid4(),
        outcome=JobOutcome.COMPLETED,
        created_at=datetime.now(UTC),
        result=JobResult(locale="nn", days=(date(2026, 1, 1), date(2026, 12, 31))),
    )


def create_mail_settings(port: int, **fields: object) -> MailSettings:
    defaults = {"host": "localhost", "tls": "none", "sender": "s@stafett.example", "public_url": "https://s.example"}
    return MailSettings.model_validate(defaults | {"port": port} | fields)


async def send(settings: MailSettings, tls: ssl.SSLContext | None = None, **options: Any) -> None:
    await asyncio.to_thread(SmtpSender(settings, tls or ssl.create_default_context(), **options).send, create_email())


async def get_delivery_error(
    settings: MailSettings, tls: ssl.SSLContext | None = None, **options: Any
) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(settings, tls, **options)
    assert "nordmann" not in repr(caught.value).lower()
    assert caught.value.__cause__ is None
    return caught.value


@asynccontextmanager
async def run_server(create_protocol: Callable[[], asyncio.Protocol], **options: Any) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(create_protocol, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]


class FakeMailHandler:
    """Answers RCPT and DATA with configured replies."""

    def __init__(self, *, recipient: str = "250 OK", data: str = "250 OK") -> None:
        self._recipient, self._data = recipient, data

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._recipient

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - the same
        return self._data


async def test_development_mail_server_stores_an_email_as_it_was_sent(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mail")
    async with run_mail_server(folder, 0) as port:
        await send(create_mail_settings(port))
    (path,) = folder.list_emails()
    message = parse_email(path)
    assert message["To"] == ADDRESS
    assert "klar til å lastast ned" in read_body(message)


@pytest.mark.parametrize(
    ("replies", "code", "is_permanent"),
    [
        ({"recipient": f"550 no <{ADDRESS}> here"}, "smtp_550", True),
        ({"recipient": "451 greylisted"}, "smtp_451", False),
        ({"data": f"554 <{ADDRESS}> wants none of it"}, "smtp_554", False),
        ({"data": "452 full"}, "smtp_452", False),
    ],
)
async def test_smtp_error_is_reported_by_its_status_code_only(
    replies: dict[str, str], code: str, *, is_permanent: bool
) -> None:
    async with run_server(lambda: SMTP(FakeMailHandler(**replies))) as port:
        error = await get_delivery_error(create_mail_settings(port))
    assert (error.code, error.is_permanent) == (code, is_permanent)
    assert ADDRESS not in "".join(traceback.format_exception(error))


async def test_starttls_and_password_are_used_if_configured(tmp_path: Path) -> None:
    certificate, folder = SelfSignedCertificate.for_host("localhost", tmp_path), MailFolder(tmp_path / "mail")
    logins = list[object]()

    def authenticate(_server: SMTP, session: Session, _e: Envelope, _mechanism: str, credentials: object) -> AuthResult:
        assert isinstance(credentials, LoginPassword)
        logins.append((credentials.login, credentials.password, session.ssl is not None))
        return AuthResult(success=credentials.password == PASSWORD.encode(), handled=False)

    def create_protocol() -> SMTP:
        return SMTP(
            folder,
            tls_context=certificate.server_context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    starttls = {"tls": "starttls", "user": "stafett"}
    async with run_server(create_protocol) as port:
        await send(create_mail_settings(port, password=PASSWORD, **starttls), certificate.client_context)
        wrong_password = await get_delivery_error(
            create_mail_settings(port, password=PASSWORD[::-1], **starttls), certificate.client_context
        )
        unknown_certificate = await get_delivery_error(create_mail_settings(port, password=PASSWORD, **starttls))
    assert logins[0] == (b"stafett", PASSWORD.encode(), True)
    assert len(folder.list_emails()) == 1
    assert (wrong_password.code, unknown_certificate.code) == ("smtp_535", "tls_failed")


async def test_password_is_not_sent_to_a_server_without_tls() -> None:
    async with run_server(lambda: SMTP(FakeMailHandler())) as port:
        error = await get_delivery_error(create_mail_settings(port, tls="starttls", user="stafett", password=PASSWORD))
    assert error.code == "smtp_not_supported"


async def test_implicit_tls_encrypts_from_the_first_byte(tmp_path: Path) -> None:
    certificate, folder = SelfSignedCertificate.for_host("localhost", tmp_path), MailFolder(tmp_path / "mail")
    async with run_server(lambda: SMTP(folder), ssl=certificate.server_context) as port:
        await send(create_mail_settings(port, tls="implicit"), certificate.client_context)
    assert len(folder.list_emails()) == 1


async def test_server_that_sends_nothing_times_out() -> None:
    async with run_server(asyncio.Protocol) as port:
        assert (await get_delivery_error(create_mail_settings(port), timeout=0.2)).code == "timed_out"


async def test_missing_server_is_reported_as_unreachable() -> None:
    assert (await get_delivery_error(create_mail_settings(9))).code == "unreachable"
