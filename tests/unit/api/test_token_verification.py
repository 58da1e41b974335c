"""Verification of tampered tokens and arbitrary claims: only tokens as the issuer creates them are accepted."""

import json
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from api.auth import TokenVerifier, VerifiedToken
from stafett.domain.errors import UnauthenticatedError
from stafett.settings import AuthSettings
from tests.support.tokens import (
    KEY,
    OTHER_KEY,
    USER,
    create_claims,
    create_jwk,
    create_token,
    encode_parts,
    sign_token,
    sign_with_secret,
    write_jwks,
)

AUTH = AuthSettings()
HEADER = {"alg": "ES256", "typ": "JWT", "kid": "one"}
RSA_KEY = rsa.generate_private_key(65537, 2048)
with_shared_key_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    write_jwks(path, one=KEY, two=OTHER_KEY)
    return path


@pytest.fixture
def verifier(key_file: Path) -> TokenVerifier:
    return TokenVerifier(AuthSettings(jwks_file=key_file))


def verify_or_none(verifier: TokenVerifier, token: str) -> VerifiedToken | None:
    """Return the verified token, or None if it is rejected; any other exception fails the test."""
    try:
        return verifier.verify(token)
    except UnauthenticatedError:
        return None


def create_numeric_claims(**overrides: object) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": AUTH.issuer,
        "aud": AUTH.audience,
        "sub": str(USER),
        "org": "nhf",
        "iat": now,
        "exp": now + 3600,
    } | overrides


def is_finite_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@given(name=st.sampled_from(["iss", "aud", "sub", "org", "exp", "nbf", "iat"]), value=any_json)
@example(name="exp", value="4102444800")
@example(name="exp", value=True)
@example(name="exp", value=10**400)
@example(name="exp", value=[4102444800])
@example(name="nbf", value="0")
@example(name="iat", value=None)
@example(name="aud", value=["stafett", 7])
@example(name="aud", value={"stafett": 1})
@example(name="sub", value=str(USER).upper())
@with_shared_key_file
def test_claim_of_the_wrong_type_is_rejected(verifier: TokenVerifier, name: str, value: object) -> None:
    assume(value != create_numeric_claims()[name] if name in {"iss", "aud", "sub", "org"} else True)
    verified = verify_or_none(verifier, sign_token(HEADER, json.dumps(create_numeric_claims(**{name: value})).encode()))
    match name:
        case "iss" | "sub":
            assert verified is None or (name == "sub" and verified.subject == value)
        case "aud":
            is_valid = (
                isinstance(value, list) and AUTH.audience in value and all(isinstance(each, str) for each in value)
            )
            assert (verified is not None) == is_valid
        case "exp" | "nbf" | "iat":
            assert verified is None or is_finite_number(value)
        case _:
            assert verified is None or verified.org_id == value


@given(payload=st.binary(max_size=80) | any_json.map(lambda value: json.dumps(value).encode()))
@example(payload=b"[" * 100_000)
@example(payload=b'{"exp": ' + b"9" * 10_000 + b"}")
@with_shared_key_file
def test_signed_payload_without_valid_claims_is_rejected(verifier: TokenVerifier, payload: bytes) -> None:
    assert verify_or_none(verifier, sign_token(HEADER, payload)) is None


@given(extra=st.dictionaries(st.text(max_size=8), any_json, max_size=4))
@with_shared_key_file
def test_extra_header_fields_never_change_the_identity(verifier: TokenVerifier, extra: dict[str, Any]) -> None:
    verified = verify_or_none(verifier, sign_token(HEADER | extra, json.dumps(create_numeric_claims()).encode()))
    assert verified is None or (verified.subject, verified.org_id) == (str(USER), "nhf")


_ELSEWHERE = "https://elsewhere.example/jwks.json"
_EMBEDDED_KEYS: dict[str, Any] = {
    "jku": {"jku": _ELSEWHERE},
    "x5u": {"x5u": _ELSEWHERE},
    "jwk": {"jwk": create_jwk(OTHER_KEY, "one")},
    "x5c": {"x5c": ["MIIB"]},
}


@pytest.mark.parametrize("key_header", _EMBEDDED_KEYS.values(), ids=_EMBEDDED_KEYS.keys())
@pytest.mark.parametrize("kid", ["one", "unknown"])
def test_key_in_the_token_header_is_not_used(verifier: TokenVerifier, key_header: dict[str, Any], kid: str) -> None:
    payload = json.dumps(create_numeric_claims()).encode()
    assert verify_or_none(verifier, sign_token(HEADER | key_header | {"kid": kid}, payload, OTHER_KEY)) is None


@pytest.mark.parametrize("critical", [["exp"], ["b64"], ["urn:example:must"], [], "exp", [7], None, {}])
def test_unsupported_critical_header_is_rejected(verifier: TokenVerifier, critical: object) -> None:
    header = HEADER | {"crit": critical, "urn:example:must": True, "exp": 1}
    assert verify_or_none(verifier, sign_token(header, json.dumps(create_numeric_claims()).encode())) is None


def test_signature_is_verified_with_the_named_key(verifier: TokenVerifier) -> None:
    assert verify_or_none(verifier, create_token("one", KEY)) is not None
    assert verify_or_none(verifier, create_token("two", OTHER_KEY)) is not None
    assert verify_or_none(verifier, create_token("two", KEY)) is None
    assert verify_or_none(verifier, create_token("one", OTHER_KEY)) is None


def test_keys_with_the_same_id_do_not_share_algorithms(key_file: Path) -> None:
    rsa_jwk = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "one"}
    key_file.write_text(json.dumps({"keys": [create_jwk(KEY, "one"), rsa_jwk]}))
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file))
    forged = jwt.encode(create_claims(), RSA_KEY, "RS256", headers={"kid": "one"}).split(".")
    tampered = ".".join([encode_parts(HEADER), *forged[1:]])
    assert verify_or_none(verifier, tampered) is None


@pytest.mark.parametrize("algorithm", ["PS256", "RS384", "RS512"])
def test_algorithm_that_is_not_allowed_is_rejected(key_file: Path, algorithm: str) -> None:
    rsa_jwk = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "rsa"}
    key_file.write_text(json.dumps({"keys": [rsa_jwk]}))
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file))
    assert verify_or_none(verifier, jwt.encode(create_claims(), RSA_KEY, "RS256", headers={"kid": "rsa"})) is not None
    assert verify_or_none(verifier, jwt.encode(create_claims(), RSA_KEY, algorithm, headers={"kid": "rsa"})) is None


def test_published_symmetric_key_does_not_verify_signatures(key_file: Path) -> None:
    secret = {"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWEtc2lnbmF0dXJl"}
    key_file.write_text(json.dumps({"keys": [create_jwk(KEY, "one"), secret]}))
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file))
    forged = sign_with_secret(create_numeric_claims(), "secret", b"secret-that-is-long-enough-for-a-signature")
    assert verify_or_none(verifier, forged) is None


@pytest.mark.parametrize(("claim", "sign"), [("exp", -1), ("nbf", 1), ("iat", 1)])
def test_clock_difference_within_the_configured_leeway_is_accepted(key_file: Path, claim: str, sign: int) -> None:
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file, leeway_seconds=120))
    for seconds, is_accepted in ((60, True), (180, False)):
        moment = datetime.now(UTC) + timedelta(seconds=sign * seconds)
        claims = create_numeric_claims(**{claim: moment.timestamp()})
        token = sign_token(HEADER, json.dumps(claims).encode())
        assert (verify_or_none(verifier, token) is not None) == is_accepted, seconds


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_token_size_does_not_change_the_result(verifier: TokenVerifier, size: int) -> None:
    assert verify_or_none(verifier, create_token(note="x" * size)) is not None
    assert verify_or_none(verifier, create_token("two", note="x" * size)) is None
    assert verify_or_none(verifier, "x" * size) is None
    assert verify_or_none(verifier, "." * size) is None
