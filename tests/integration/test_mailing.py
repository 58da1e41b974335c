"""Letters handed to a real mail server: the one of the development stack."""

import asyncio
import email
import email.policy
import logging
import ssl
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
from stafett.notifications.email import Email, SmtpSender
from stafett.settings import MailSettings
from tests.receiver import Certificate

PASSWORD = "hemmelig"  # noqa: S105 - of a server that lives as long as its test
ADDRESS = "kari.nordmann@nhf.example"


def letter() -> Email:
    return Email(
        id=uuid4(),
        address=ADDRESS,
        locale="nn",
        organisation="Prøveforbundet",
        period=(date(2026, 1, 1), date(2026, 12, 31)),
        job_type=JobType.EXPORT,
        job_id=uuid4(),
        outcome=JobOutcome.COMPLETED,
        created_at=datetime.now(UTC),
    )


def settings_for(port: int, **more: object) -> MailSettings:
    usual = {"host": "localhost", "tls": "none", "sender": "s@stafett.example", "public_url": "https://s.example"}
    return MailSettings.model_validate(usual | {"port": port} | more)


async def send(settings: MailSettings, tls: ssl.SSLContext | None = None, **more: Any) -> None:
    await asyncio.to_thread(SmtpSender(settings, tls or ssl.create_default_context(), **more).send, letter())


async def refusal(settings: MailSettings, tls: ssl.SSLContext | None = None, **more: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as refused:
        await send(settings, tls, **more)
    assert "nordmann" not in repr(refused.value).lower()
    assert refused.value.__cause__ is None
    return refused.value


@asynccontextmanager
async def a_server(make: Callable[[], asyncio.Protocol], **more: Any) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, **more)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Unwilling:
    """A mail server that answers a recipient or a letter as it is told to."""

    def __init__(self, *, recipient: str = "250 OK", data: str = "250 OK") -> None:
        self._recipient, self._data = recipient, data

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._recipient

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - the same
        return self._data


async def test_the_catcher_keeps_a_letter_as_it_was_sent(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mail")
    async with run_mail_server(folder, 0) as port:
        await send(settings_for(port))
    (kept,) = folder.list_emails()
    message = email.message_from_bytes(kept.read_bytes(), policy=email.policy.default)
    assert message["To"] == ADDRESS
    assert "klar til å lastast ned" in message.get_content()


@pytest.mark.parametrize(
    ("answers", "code", "for_good"),
    [
        ({"recipient": f"550 no <{ADDRESS}> here"}, "smtp_550", True),
        ({"recipient": "451 greylisted"}, "smtp_451", False),
        ({"data": f"554 <{ADDRESS}> wants none of it"}, "smtp_554", False),
        ({"data": "452 full"}, "smtp_452", False),
    ],
)
async def test_a_refusal_is_told_by_its_number_alone(
    answers: dict[str, str], code: str, caplog: pytest.LogCaptureFixture, *, for_good: bool
) -> None:
    with caplog.at_level(logging.DEBUG, "stafett"):
        async with a_server(lambda: SMTP(Unwilling(**answers))) as port:
            refused = await refusal(settings_for(port))
    assert (refused.code, refused.is_permanent) == (code, for_good)


async def test_starttls_and_a_password_are_used_where_they_are_set(tmp_path: Path) -> None:
    certificate, folder, seen = Certificate.of("localhost", tmp_path), MailFolder(tmp_path / "mail"), list[object]()

    def authenticated(_server: SMTP, session: Session, _e: Envelope, _mechanism: str, given: object) -> AuthResult:
        assert isinstance(given, LoginPassword)
        seen.append((given.login, given.password, session.ssl is not None))
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)

    def make() -> SMTP:
        return SMTP(
            folder,
            tls_context=certificate.server,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticated,
        )

    with_tls = {"tls": "starttls", "user": "stafett"}
    async with a_server(make) as port:
        await send(settings_for(port, password=PASSWORD, **with_tls), certificate.believer)
        wrong = await refusal(settings_for(port, password=PASSWORD[::-1], **with_tls), certificate.believer)
        unknown = await refusal(settings_for(port, password=PASSWORD, **with_tls))
    assert seen[0] == (b"stafett", PASSWORD.encode(), True)
    assert len(folder.list_emails()) == 1
    assert (wrong.code, unknown.code) == ("smtp_535", "tls_failed")


async def test_a_password_is_not_said_to_a_server_without_tls() -> None:
    async with a_server(lambda: SMTP(Unwilling())) as port:
        refused = await refusal(settings_for(port, tls="starttls", user="stafett", password=PASSWORD))
    assert refused.code == "smtp_not_supported"


async def test_implicit_tls_is_tls_from_the_first_byte(tmp_path: Path) -> None:
    certificate, folder = Certificate.of("localhost", tmp_path), MailFolder(tmp_path / "mail")
    async with a_server(lambda: SMTP(folder), ssl=certificate.server) as port:
        await send(settings_for(port, tls="implicit"), certificate.believer)
    assert len(folder.list_emails()) == 1


async def test_a_server_that_says_nothing_is_left_in_time() -> None:
    async with a_server(asyncio.Protocol) as port:
        assert (await refusal(settings_for(port), seconds=0.2)).code == "timed_out"


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    assert (await refusal(settings_for(9))).code == "unreachable"
