"""Handing a letter to a mail server; its answers quote addresses, so only their codes go any further."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from stafett.domain.errors import NotDeliveredError
from stafett.notifications.letters import Letter, domain_of
from stafett.settings import MailSettings

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
        raise NotDeliveredError(f"smtp_{code}", for_good=code >= _FIRST_PERMANENT) from None
    except smtplib.SMTPResponseException as error:
        raise NotDeliveredError(f"smtp_{error.smtp_code}") from None
    except smtplib.SMTPNotSupportedError:
        raise NotDeliveredError("smtp_not_supported") from None
    except ssl.SSLError:
        raise NotDeliveredError("tls_failed") from None
    except (smtplib.SMTPException, OSError) as error:
        # The library tells of a timeout as of a connection that was closed.
        is_slow = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
        raise NotDeliveredError("timed_out" if is_slow else "unreachable") from None
