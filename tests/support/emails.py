"""Reading emails as a mail client does."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path


def parse_email(content: bytes | Path) -> EmailMessage:
    content = content.read_bytes() if isinstance(content, Path) else content
    return email.message_from_bytes(content, policy=email.policy.default)


def read_body(message: EmailMessage, subtype: str = "plain") -> str:
    """Return the plain text or the HTML of an email, with plain line ends and spaces."""
    part = message.get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n").replace("\N{NO-BREAK SPACE}", " ")
