"""Valid and forged tokens of a fake issuer; forgeries are built by hand, because libraries refuse to create them."""

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
Claims = Mapping[str, Any]


def create_jwk(key: Key, kid: str) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid}


def write_jwks(path: Path, **keys: Key) -> None:
    path.write_text(json.dumps({"keys": [create_jwk(key, kid) for kid, key in keys.items()]}))


def create_claims(**overrides: object) -> dict[str, Any]:
    """Create valid claims with overrides; the value ``...`` removes a claim."""
    auth, now = AuthSettings(), datetime.now(UTC)
    valid = {
        "iss": auth.issuer,
        "aud": auth.audience,
        "sub": str(USER),
        "org": "nhf",
        "iat": now,
        "exp": now + timedelta(hours=1),
    }
    return {name: value for name, value in (valid | overrides).items() if value is not ...}


def create_token(kid: str | None = "one", key: Key = KEY, **overrides: object) -> str:
    return jwt.encode(create_claims(**overrides), key, "ES256", headers={"kid": kid} if kid else {})


def sign_token(header: object, payload: bytes, key: Key = KEY) -> str:
    """Sign any header and payload with a valid signature."""
    content = f"{encode_parts(header)}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    signature = jwt.get_algorithm_by_name("ES256").sign(content.encode(), key)
    return f"{content}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def encode_parts(*parts: object) -> str:
    """Encode parts of a token, valid or not."""
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


def create_unsigned_token(claims: Claims, key_id: str) -> str:
    return f"{encode_parts({'alg': 'none', 'typ': 'JWT', 'kid': key_id}, claims)}."


def sign_with_secret(claims: Claims, key_id: str, secret: bytes) -> str:
    signed_part = encode_parts({"alg": "HS256", "typ": "JWT", "kid": key_id}, claims)
    mac = jwt.get_algorithm_by_name("HS256").sign(signed_part.encode(), secret)
    return f"{signed_part}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def sign_with_public_key_as_secret(claims: Claims, key_id: str, public_key: PublicKeyTypes) -> str:
    """Create a token that passes a verifier which takes the algorithm from the token itself."""
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return sign_with_secret(claims, key_id, pem)
