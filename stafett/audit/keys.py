"""Keys from the settings, as PEM, or as the base64 content of PEM on one line for environment files."""

import base64
import binascii
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from stafett.audit.checkpoint import SigningKey, VerificationKeys
from stafett.domain.errors import SettingsError
from stafett.settings import AuditSettings

_PEM = re.compile(r"-----BEGIN [A-Z ]+-----(.+?)-----END [A-Z ]+-----", re.DOTALL)
_KEY_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error)


def load_signing_key(settings: AuditSettings) -> SigningKey | None:
    """Load the key that signs checkpoints, or return None if none is configured."""
    secret = None if settings.signing_key is None else settings.signing_key.get_secret_value()
    text, variable = _read_setting(secret, settings.signing_key_file, "SIGNING_KEY")
    if text is None:
        return None
    try:
        (document,) = _decode_keys(text)
        key = load_der_private_key(document, password=None)
    except _KEY_ERRORS:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{variable} must be one Ed25519 private key without a password, in PEM or base64.")
    return SigningKey(key)


def load_verification_keys(settings: AuditSettings) -> VerificationKeys:
    """Load the configured public keys and the public key of the signing key."""
    signing_key = load_signing_key(settings)
    text, variable = _read_setting(settings.verification_keys, settings.verification_keys_file, "VERIFICATION_KEYS")
    try:
        keys = [load_der_public_key(document) for document in _decode_keys(text or "")]
    except _KEY_ERRORS:
        keys = []
    verification_keys = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if text is not None and (not verification_keys or len(verification_keys) != len(keys)):
        raise SettingsError(f"{variable} must be a list of Ed25519 public keys, in PEM or base64.")
    return VerificationKeys([*verification_keys, *([signing_key.public_key] if signing_key else [])])


def _read_setting(value: str | None, file: Path | None, name: str) -> tuple[str | None, str]:
    variable = f"STAFETT_AUDIT__{name}"
    if value is not None or file is None:
        return value, variable
    try:
        return file.read_text(encoding="ascii"), f"{variable}_FILE"
    except (OSError, ValueError):
        raise SettingsError(f"{variable}_FILE is the path of a file that cannot be read.") from None


def _decode_keys(text: str) -> list[bytes]:
    bodies = _PEM.findall(text) or re.split(r"[\s,]+", text.strip())
    return [base64.b64decode("".join(body.split()), validate=True) for body in bodies if body]
