"""Secrets and signatures as Standard Webhooks specifies them."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX, _SECRET_BYTES = "whsec_", 32


def generate_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def build_signature_header(active_secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Build the header ``webhook-signature``; a receiver accepts a message if one of the signatures is valid."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in active_secrets)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Sign with one secret; neither the id nor the timestamp may contain a full stop, which separates the parts."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
