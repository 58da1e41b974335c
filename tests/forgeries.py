"""Tokens as they come from nobody we trust; most by hand, for libraries refuse to commit them."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Said = Mapping[str, Any]


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
