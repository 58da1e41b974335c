"""Tokens that were tampered with, and claims of every kind: nothing but what the issuer meant gets anybody in."""

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
from hypothesis import strategies as some
from jwt.algorithms import RSAAlgorithm

from api.auth import TokenVerifier, VerifiedToken
from stafett.domain.errors import UnauthenticatedError
from stafett.settings import AuthSettings
from tests.tokens import (
    KEY,
    OTHER_KEY,
    USER,
    claims,
    encoded,
    publish,
    published,
    signed,
    signed_with_a_secret,
    token,
)

OURS = AuthSettings()
HEADER = {"alg": "ES256", "typ": "JWT", "kid": "one"}
RSA_KEY = rsa.generate_private_key(65537, 2048)
with_the_same_keys = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
anything = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    publish(path, one=KEY, two=OTHER_KEY)
    return path


@pytest.fixture
def verifier(key_file: Path) -> TokenVerifier:
    return TokenVerifier(AuthSettings(jwks_file=key_file))


def verified(verifier: TokenVerifier, token: str) -> VerifiedToken | None:
    """Anything but an answer or a plain refusal is a fault."""
    try:
        return verifier.verify(token)
    except UnauthenticatedError:
        return None


def numeric_now(**said: object) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": OURS.issuer,
        "aud": OURS.audience,
        "sub": str(USER),
        "org": "nhf",
        "iat": now,
        "exp": now + 3600,
    } | said


def is_a_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@given(name=some.sampled_from(["iss", "aud", "sub", "org", "exp", "nbf", "iat"]), value=anything)
@example(name="exp", value="4102444800")
@example(name="exp", value=True)
@example(name="exp", value=10**400)
@example(name="exp", value=[4102444800])
@example(name="nbf", value="0")
@example(name="iat", value=None)
@example(name="aud", value=["stafett", 7])
@example(name="aud", value={"stafett": 1})
@example(name="sub", value=str(USER).upper())
@with_the_same_keys
def test_a_claim_of_another_kind_lets_nobody_in(verifier: TokenVerifier, name: str, value: object) -> None:
    assume(value != numeric_now()[name] if name in {"iss", "aud", "sub", "org"} else True)
    bearer = verified(verifier, signed(HEADER, json.dumps(numeric_now(**{name: value})).encode()))
    match name:
        case "iss" | "sub":
            assert bearer is None or (bearer.user_id == USER and name == "sub")
        case "aud":
            good = isinstance(value, list) and OURS.audience in value and all(isinstance(each, str) for each in value)
            assert (bearer is not None) == good
        case "exp" | "nbf" | "iat":
            assert bearer is None or is_a_number(value)
        case _:
            assert bearer is None or bearer.org_id == value


@given(payload=some.binary(max_size=80) | anything.map(lambda said: json.dumps(said).encode()))
@example(payload=b"[" * 100_000)
@example(payload=b'{"exp": ' + b"9" * 10_000 + b"}")
@with_the_same_keys
def test_whatever_is_signed_that_is_no_set_of_claims_lets_nobody_in(verifier: TokenVerifier, payload: bytes) -> None:
    assert verified(verifier, signed(HEADER, payload)) is None


@given(more=some.dictionaries(some.text(max_size=8), anything, max_size=4))
@with_the_same_keys
def test_a_header_never_makes_another_of_somebody(verifier: TokenVerifier, more: dict[str, Any]) -> None:
    """Signed as it should be, and with whatever else in its header."""
    bearer = verified(verifier, signed(HEADER | more, json.dumps(numeric_now()).encode()))
    assert bearer is None or (bearer.user_id, bearer.org_id) == (USER, "nhf")


_ELSEWHERE = "https://elsewhere.example/jwks.json"
_OWN_KEY: dict[str, Any] = {
    "jku": {"jku": _ELSEWHERE},
    "x5u": {"x5u": _ELSEWHERE},
    "jwk": {"jwk": published(OTHER_KEY, "one")},
    "x5c": {"x5c": ["MIIB"]},
}


@pytest.mark.parametrize("brought", _OWN_KEY.values(), ids=_OWN_KEY.keys())
@pytest.mark.parametrize("kid", ["one", "unknown"])
def test_nobody_brings_their_own_key(verifier: TokenVerifier, brought: dict[str, Any], kid: str) -> None:
    said = json.dumps(numeric_now()).encode()
    assert verified(verifier, signed(HEADER | brought | {"kid": kid}, said, OTHER_KEY)) is None


@pytest.mark.parametrize("critical", [["exp"], ["b64"], ["urn:example:must"], [], "exp", [7], None, {}])
def test_what_is_critical_and_not_understood_is_refused(verifier: TokenVerifier, critical: object) -> None:
    header = HEADER | {"crit": critical, "urn:example:must": True, "exp": 1}
    assert verified(verifier, signed(header, json.dumps(numeric_now()).encode())) is None


def test_the_key_that_is_named_is_the_one_that_counts(verifier: TokenVerifier) -> None:
    assert verified(verifier, token("one", KEY)) is not None
    assert verified(verifier, token("two", OTHER_KEY)) is not None
    assert verified(verifier, token("two", KEY)) is None
    assert verified(verifier, token("one", OTHER_KEY)) is None


def test_of_two_keys_with_one_name_neither_takes_the_others_algorithm(key_file: Path) -> None:
    of_rsa = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "one"}
    key_file.write_text(json.dumps({"keys": [published(KEY, "one"), of_rsa]}))
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file))
    forged = jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "one"}).split(".")
    tampered = ".".join([encoded(HEADER), *forged[1:]])
    assert verified(verifier, tampered) is None


@pytest.mark.parametrize("algorithm", ["PS256", "RS384", "RS512"])
def test_an_algorithm_that_is_not_on_the_list_is_none(key_file: Path, algorithm: str) -> None:
    of_rsa = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "rsa"}
    key_file.write_text(json.dumps({"keys": [of_rsa]}))
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file))
    assert verified(verifier, jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "rsa"})) is not None
    assert verified(verifier, jwt.encode(claims(), RSA_KEY, algorithm, headers={"kid": "rsa"})) is None


def test_a_secret_that_somebody_published_signs_nothing(key_file: Path) -> None:
    secret = {"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWFueWJvZHk"}
    key_file.write_text(json.dumps({"keys": [published(KEY, "one"), secret]}))
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file))
    forged = signed_with_a_secret(numeric_now(), "secret", b"secret-that-is-long-enough-for-anybody")
    assert verified(verifier, forged) is None


@pytest.mark.parametrize(("claim", "sign"), [("exp", -1), ("nbf", 1), ("iat", 1)])
def test_clocks_may_differ_so_much_and_no_more(key_file: Path, claim: str, sign: int) -> None:
    """As much as is configured."""
    verifier = TokenVerifier(AuthSettings(jwks_file=key_file, leeway_seconds=120))
    for seconds, is_good in ((60, True), (180, False)):
        moment = datetime.now(UTC) + timedelta(seconds=sign * seconds)
        said = numeric_now(**{claim: moment.timestamp()})
        assert (verified(verifier, signed(HEADER, json.dumps(said).encode())) is not None) == is_good, seconds


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_the_size_of_a_token_makes_no_difference(verifier: TokenVerifier, size: int) -> None:
    assert verified(verifier, token(note="x" * size)) is not None
    assert verified(verifier, token("two", note="x" * size)) is None
    assert verified(verifier, "x" * size) is None
    assert verified(verifier, "." * size) is None
