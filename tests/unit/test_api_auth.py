"""What a token must be, and what becomes of the keys it is held against."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some
from jwt.algorithms import ECAlgorithm

from api.auth import TokenVerifier
from stafett.domain.errors import SettingsError, UnauthenticatedError
from stafett.settings import AuthSettings
from tests.tokens import (
    KEY,
    OTHER_KEY,
    USER,
    claims,
    encoded,
    publish,
    signed_with_the_public_key_as_secret,
    token,
)

RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    publish(path, one=KEY)
    return path


@pytest.fixture
def verifier(key_file: Path) -> TokenVerifier:
    return TokenVerifier(AuthSettings(jwks_file=key_file))


@pytest.mark.parametrize("org_id", ["nhf", None, ...])
def test_a_good_token_says_who_and_for_whom(verifier: TokenVerifier, org_id: object) -> None:
    identity = verifier.verify(token(org=org_id))
    assert (identity.user_id, identity.org_id) == (USER, None if org_id is ... else org_id)


_LATER, _EARLIER = datetime.now(UTC) + timedelta(hours=2), datetime.now(UTC) - timedelta(hours=2)
_BAD: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "a space": lambda: " ",
    "no token": lambda: "a.b.c",
    "a nested header": lambda: f"{base64.urlsafe_b64encode(b'[' * 40_000).decode()}.e30.e30",
    "a list for a header": lambda: f"{encoded([], {})}.e30",
    "a number of a header": lambda: f"{encoded(1, {})}.e30",
    "a list for a key id": lambda: f"{encoded({'alg': 'ES256', 'kid': ['one']}, {})}.e30",
    "no key id": lambda: token(None),
    "an unknown key id": lambda: token("two"),
    "signed by another key": lambda: token(key=OTHER_KEY),
    "alg none": lambda: jwt.encode(claims(), "", "none", headers={"kid": "one"}),
    "the public key as secret": lambda: signed_with_the_public_key_as_secret(
        claims(exp=4102444800, iat=1), "one", KEY.public_key()
    ),
    "another algorithm than the key's": lambda: jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "one"}),
    "another issuer": lambda: token(iss="https://elsewhere.example"),
    "another audience": lambda: token(aud="elsewhere"),
    "expired": lambda: token(exp=_EARLIER),
    "not valid yet": lambda: token(nbf=_LATER),
    "issued later": lambda: token(iat=_LATER),
    "an expiry beyond numbers": lambda: token(exp=float("inf")),
    "an expiry in words": lambda: token(exp="soon"),
    "without expiry": lambda: token(exp=...),
    "without issuer": lambda: token(iss=...),
    "without audience": lambda: token(aud=...),
    "without subject": lambda: token(sub=...),
    "a subject that is no id": lambda: token(sub="kari@nhf.example"),
    "an organisation that is a number": lambda: token(org=7),
    "an organisation that is a list": lambda: token(org=["nhf"]),
    "an organisation of a long name": lambda: token(org="n" * 64),
    "an organisation with quotes": lambda: token(org="nhf'; --"),
    "an organisation with a line break": lambda: token(org="nhf\n"),
    "an organisation without a name": lambda: token(org=""),
}


@pytest.mark.parametrize("bad", _BAD.values(), ids=_BAD.keys())
def test_a_bad_token_is_no_token(verifier: TokenVerifier, bad: Callable[[], str]) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier.verify(bad())


_base64_text = some.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())


@given(text=some.text() | some.lists(_base64_text, min_size=3, max_size=3).map(".".join))
@example(text=f"{encoded({'alg': 'ES256', 'kid': 'one', 'crit': [[]]}, {})}.e30")
@example(text=f"{encoded({'alg': {}, 'kid': 'one'}, {})}.e30")
@example(text=f"{encoded({'alg': 'ES256', 'kid': 'one', 'b64': False}, {})}.e30")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the keys stay what they are
def test_every_other_text_is_no_token(verifier: TokenVerifier, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier.verify(text)


def test_a_new_key_is_good_at_once(verifier: TokenVerifier, key_file: Path) -> None:
    publish(key_file, one=KEY, two=OTHER_KEY)
    assert verifier.verify(token("two", OTHER_KEY)).user_id == USER
    assert verifier.verify(token()).user_id == USER


def test_a_key_that_was_taken_out_is_good_until_a_token_of_an_unknown_key_comes(
    verifier: TokenVerifier, key_file: Path
) -> None:
    publish(key_file, two=OTHER_KEY)
    assert verifier.verify(token()).user_id == USER
    assert verifier.verify(token("two", OTHER_KEY)).user_id == USER
    with pytest.raises(UnauthenticatedError):
        verifier.verify(token())


@pytest.mark.parametrize(
    "left", [None, "", '{"keys": [{"kty": "EC", "k', '{"keys": []}', '{"keys": {}}', "null", "[" * 40_000]
)
def test_a_file_that_cannot_be_read_changes_nothing(verifier: TokenVerifier, key_file: Path, left: str | None) -> None:
    if left is None:
        key_file.unlink()
    else:
        key_file.write_text(left)
    stranger = token("two", OTHER_KEY)
    with structlog.testing.capture_logs() as lines, pytest.raises(UnauthenticatedError):
        verifier.verify(stranger)
    assert [line["event"] for line in lines] == ["jwks_file_unreadable"]
    assert not any(part in str(lines) for part in stranger.split("."))
    assert verifier.verify(token()).user_id == USER


def test_a_key_for_encryption_signs_nothing(key_file: Path) -> None:
    published = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "one", "use": "enc"}
    key_file.write_text(json.dumps({"keys": [published]}))
    with pytest.raises(UnauthenticatedError):
        TokenVerifier(AuthSettings(jwks_file=key_file)).verify(token())


@pytest.mark.parametrize("left", ["", "null", "[]", '{"keys": 7}'])
def test_nothing_starts_with_keys_that_cannot_be_read(key_file: Path, left: str) -> None:
    key_file.write_text(left)
    with pytest.raises(SettingsError):
        TokenVerifier(AuthSettings(jwks_file=key_file))
