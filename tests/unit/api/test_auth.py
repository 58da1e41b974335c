"""Verification of bearer tokens, and rotation of the keys that verify them."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from api.auth import TokenVerifier
from stafett.domain.errors import SettingsError, UnauthenticatedError
from stafett.settings import AuthSettings
from tests.support.tokens import (
    KEY,
    OTHER_KEY,
    USER,
    create_claims,
    create_token,
    encode_parts,
    sign_with_public_key_as_secret,
    write_jwks,
)

RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    write_jwks(path, one=KEY)
    return path


@pytest.fixture
def verifier(key_file: Path) -> TokenVerifier:
    return TokenVerifier(AuthSettings(jwks_file=key_file))


@pytest.mark.parametrize("org_id", ["nhf", None, ...])
def test_valid_token_identifies_user_and_organisation(verifier: TokenVerifier, org_id: object) -> None:
    token = verifier.verify(create_token(org=org_id))
    assert (token.subject, token.org_id) == (str(USER), None if org_id is ... else org_id)


@pytest.mark.parametrize(
    ("claims", "address"),
    [
        ({"email": "kari@nhf.example", "email_verified": True}, "kari@nhf.example"),
        ({"email": "kari@nhf.example", "email_verified": False}, None),
        ({"email": "kari@nhf.example", "email_verified": "true"}, None),
        ({"email": "kari@nhf.example"}, None),
        ({"email": ["kari@nhf.example"], "email_verified": True}, None),
    ],
)
def test_only_a_verified_address_is_taken_from_a_token(
    verifier: TokenVerifier, claims: dict[str, Any], address: str | None
) -> None:
    assert verifier.verify(create_token(**claims)).verified_address == address


_LATER, _EARLIER = datetime.now(UTC) + timedelta(hours=2), datetime.now(UTC) - timedelta(hours=2)
_INVALID_TOKENS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "whitespace only": lambda: " ",
    "malformed": lambda: "a.b.c",
    "deeply nested header": lambda: f"{base64.urlsafe_b64encode(b'[' * 40_000).decode()}.e30.e30",
    "header is a list": lambda: f"{encode_parts([], {})}.e30",
    "header is a number": lambda: f"{encode_parts(1, {})}.e30",
    "key id is a list": lambda: f"{encode_parts({'alg': 'ES256', 'kid': ['one']}, {})}.e30",
    "missing key id": lambda: create_token(None),
    "unknown key id": lambda: create_token("two"),
    "signed with another key": lambda: create_token(key=OTHER_KEY),
    "algorithm none": lambda: jwt.encode(create_claims(), "", "none", headers={"kid": "one"}),
    "public key as HMAC secret": lambda: sign_with_public_key_as_secret(
        create_claims(exp=4102444800, iat=1), "one", KEY.public_key()
    ),
    "algorithm does not match the key": lambda: jwt.encode(create_claims(), RSA_KEY, "RS256", headers={"kid": "one"}),
    "wrong issuer": lambda: create_token(iss="https://elsewhere.example"),
    "wrong audience": lambda: create_token(aud="elsewhere"),
    "expired": lambda: create_token(exp=_EARLIER),
    "not yet valid": lambda: create_token(nbf=_LATER),
    "issued in the future": lambda: create_token(iat=_LATER),
    "infinite expiry": lambda: create_token(exp=float("inf")),
    "expiry is a word": lambda: create_token(exp="soon"),
    "missing expiry": lambda: create_token(exp=...),
    "missing issuer": lambda: create_token(iss=...),
    "missing audience": lambda: create_token(aud=...),
    "missing subject": lambda: create_token(sub=...),
    "subject is a number": lambda: create_token(sub=7),
    "organisation is a number": lambda: create_token(org=7),
    "organisation is a list": lambda: create_token(org=["nhf"]),
    "organisation is too long": lambda: create_token(org="n" * 64),
    "organisation contains quotes": lambda: create_token(org="nhf'; --"),
    "organisation contains a line break": lambda: create_token(org="nhf\n"),
    "organisation is empty": lambda: create_token(org=""),
}


@pytest.mark.parametrize("create_invalid_token", _INVALID_TOKENS.values(), ids=_INVALID_TOKENS.keys())
def test_invalid_token_is_rejected(verifier: TokenVerifier, create_invalid_token: Callable[[], str]) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier.verify(create_invalid_token())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "neither a JSON Web Token nor an API key"),
        ("malformed", "neither a JSON Web Token nor an API key"),
        ("missing key id", "kid"),
        ("unknown key id", "kid"),
        ("signed with another key", "signature"),
        ("wrong issuer", "iss"),
        ("wrong audience", "aud"),
        ("expired", "has expired; get a new one"),
        ("not yet valid", "not valid yet"),
        ("issued in the future", "not valid yet"),
        ("missing expiry", "lacks one of the claims exp, iat, iss, aud, sub"),
        ("organisation is a list", "org"),
        ("subject is a number", "sub"),
    ],
)
def test_refusal_names_what_is_wrong_with_the_token(verifier: TokenVerifier, kind: str, words: str) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        verifier.verify(_INVALID_TOKENS[kind]())
    assert words in str(refused.value)


def test_claims_are_named_only_if_the_signature_is_valid(verifier: TokenVerifier) -> None:
    for claims in ({"exp": _EARLIER}, {"iss": "https://elsewhere.example"}, {"aud": "elsewhere"}):
        with pytest.raises(UnauthenticatedError, match="signature"):
            verifier.verify(create_token(key=OTHER_KEY, **claims))


_base64_text = st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())


@given(text=st.text() | st.lists(_base64_text, min_size=3, max_size=3).map(".".join))
@example(text=f"{encode_parts({'alg': 'ES256', 'kid': 'one', 'crit': [[]]}, {})}.e30")
@example(text=f"{encode_parts({'alg': {}, 'kid': 'one'}, {})}.e30")
@example(text=f"{encode_parts({'alg': 'ES256', 'kid': 'one', 'b64': False}, {})}.e30")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the tests do not change the key file
def test_every_arbitrary_text_is_rejected(verifier: TokenVerifier, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier.verify(text)


def test_new_key_is_accepted_immediately(verifier: TokenVerifier, key_file: Path) -> None:
    write_jwks(key_file, one=KEY, two=OTHER_KEY)
    assert verifier.verify(create_token("two", OTHER_KEY)).subject == str(USER)
    assert verifier.verify(create_token()).subject == str(USER)


def test_removed_key_is_accepted_until_an_unknown_key_reloads_the_file(verifier: TokenVerifier, key_file: Path) -> None:
    write_jwks(key_file, two=OTHER_KEY)
    assert verifier.verify(create_token()).subject == str(USER)
    assert verifier.verify(create_token("two", OTHER_KEY)).subject == str(USER)
    with pytest.raises(UnauthenticatedError):
        verifier.verify(create_token())


@pytest.mark.parametrize(
    "content", [None, "", '{"keys": [{"kty": "EC", "k', '{"keys": []}', '{"keys": {}}', "null", "[" * 40_000]
)
def test_unreadable_key_file_keeps_the_loaded_keys(
    verifier: TokenVerifier, key_file: Path, content: str | None
) -> None:
    if content is None:
        key_file.unlink()
    else:
        key_file.write_text(content)
    unknown_key_token = create_token("two", OTHER_KEY)
    with structlog.testing.capture_logs() as lines, pytest.raises(UnauthenticatedError):
        verifier.verify(unknown_key_token)
    assert [line["event"] for line in lines] == ["jwks_file_unreadable"]
    assert not any(part in str(lines) for part in unknown_key_token.split("."))
    assert verifier.verify(create_token()).subject == str(USER)


def test_encryption_key_does_not_verify_signatures(key_file: Path) -> None:
    encryption_key = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "one", "use": "enc"}
    key_file.write_text(json.dumps({"keys": [encryption_key]}))
    with pytest.raises(UnauthenticatedError):
        TokenVerifier(AuthSettings(jwks_file=key_file)).verify(create_token())


@pytest.mark.parametrize("content", ["", "null", "[]", '{"keys": 7}'])
def test_unreadable_key_file_prevents_startup(key_file: Path, content: str) -> None:
    key_file.write_text(content)
    with pytest.raises(SettingsError):
        TokenVerifier(AuthSettings(jwks_file=key_file))
