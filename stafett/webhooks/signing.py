"""Secrets and signatures, by the letter of Standard Webhooks."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX, _SECRET_BYTES = "whsec_", 32


def generate_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def build_signature_header(active_secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: a receiver takes the message if one of them is right."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in active_secrets)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One secret's; neither the id nor the timestamp holds a full stop."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
