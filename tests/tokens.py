"""Tokens of a played issuer, and such as come from nobody we trust: by hand, for libraries refuse to commit them."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from stafett.settings import AuthSettings

USER = UUID("3f2f9b5e-4f6b-4a55-9c39-3f6f0a2f5a10")
Key = ec.EllipticCurvePrivateKey
KEY, OTHER_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
Said = Mapping[str, Any]


def published(key: Key, kid: str, **more: object) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} | more


def publish(path: Path, **keys: Key) -> None:
    path.write_text(json.dumps({"keys": [published(key, kid) for kid, key in keys.items()]}))


def claims(**said: object) -> dict[str, Any]:
    """Good ones, unless something else is said; ``...`` leaves one out."""
    ours, now = AuthSettings(), datetime.now(UTC)
    made = {"iss": ours.issuer, "aud": ours.audience, "sub": str(USER), "org": "nhf", "iat": now}
    return {
        name: value for name, value in (made | {"exp": now + timedelta(hours=1)} | said).items() if value is not ...
    }


def token(kid: str | None = "one", key: Key = KEY, **said: object) -> str:
    return jwt.encode(claims(**said), key, "ES256", headers={"kid": kid} if kid else {})


def signed(header: object, payload: bytes, key: Key = KEY) -> str:
    """Whatever is said, signed as it should be."""
    content = f"{encoded(header)}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    signature = jwt.get_algorithm_by_name("ES256").sign(content.encode(), key)
    return f"{content}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def encoded(*parts: object) -> str:
    """Parts of a token as they are written, whatever they are."""
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


def unsigned(claims: Said, key_id: str) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': key_id}, claims)}."


def signed_with_a_secret(claims: Said, key_id: str, secret: bytes) -> str:
    signed = encoded({"alg": "HS256", "typ": "JWT", "kid": key_id}, claims)
    mac = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), secret)
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def signed_with_the_public_key_as_secret(claims: Said, key_id: str, public: PublicKeyTypes) -> str:
    """What a verifier takes for good that believes the token about its algorithm."""
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return signed_with_a_secret(claims, key_id, pem)
