"""Keys as an issuer publishes them: rotated, away for a while, and asked for by strangers."""

import json
import threading

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from api.keys import JwksEndpoint
from stafett.domain.errors import ServiceUnavailableError

PUBLIC = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
URL = "https://issuer.example/jwks.json"
HOUR = 3600.0


class PlayedIssuer:
    """Publishes what the test says, and counts how often it was asked."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids: tuple[str, ...] = key_ids
        self.answer: httpx.Response | Exception | None = None
        self.asked = 0
        self.now = 1000.0
        self.keys = JwksEndpoint(URL, lambda: self.now, httpx.Client(transport=httpx.MockTransport(self._answer)))

    def _answer(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        published = {"keys": [PUBLIC | {"kid": kid, "use": "sig"} for kid in self.key_ids]}
        return self.answer or httpx.Response(200, text=json.dumps(published))


def test_keys_are_fetched_once_for_many_tokens() -> None:
    issuer = PlayedIssuer("one")
    assert issuer.asked == 0
    for _ in range(100):
        assert isinstance(issuer.keys.get_key("one"), jwt.PyJWK)
    assert issuer.asked == 1


def test_a_new_key_works_with_its_first_token() -> None:
    issuer = PlayedIssuer("one")
    issuer.keys.get_key("one")
    issuer.key_ids, issuer.now = ("one", "two"), issuer.now + 11
    issuer.keys.get_key("two")
    assert issuer.asked == 2


def test_a_key_that_is_published_no_more_is_good_no_more() -> None:
    issuer = PlayedIssuer("one", "two")
    issuer.keys.get_key("one")
    issuer.key_ids, issuer.now = ("two",), issuer.now + 301
    with pytest.raises(LookupError):
        issuer.keys.get_key("one")


def test_however_many_unknown_keys_are_named_the_issuer_is_left_in_peace() -> None:
    issuer = PlayedIssuer("one")
    issuer.keys.get_key("one")
    for number in range(1000):
        issuer.now += 0.01
        with pytest.raises(LookupError):
            issuer.keys.get_key(f"strange-{number}")
    assert issuer.asked <= 2


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("away"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text="[]"),
        httpx.Response(200, text=" " * 2_000_000),
    ],
    ids=["away", "slow", "ill", "no json", "no key set", "far too large"],
)
def test_while_the_issuer_is_away_known_keys_are_good_for_a_day(fault: httpx.Response | Exception) -> None:
    issuer = PlayedIssuer("one")
    issuer.keys.get_key("one")
    issuer.answer, issuer.now = fault, issuer.now + 23 * HOUR
    issuer.keys.get_key("one")
    with pytest.raises(LookupError):
        issuer.keys.get_key("two")
    issuer.now += 2 * HOUR
    with pytest.raises(ServiceUnavailableError):
        issuer.keys.get_key("one")
    issuer.answer, issuer.now = None, issuer.now + 11
    issuer.keys.get_key("one")


def test_an_issuer_that_was_never_reached_is_away() -> None:
    issuer = PlayedIssuer("one")
    issuer.answer = httpx.ConnectError("away")
    with pytest.raises(ServiceUnavailableError):
        issuer.keys.get_key("one")


def test_keys_for_encryption_verify_nothing() -> None:
    issuer = PlayedIssuer()
    issuer.answer = httpx.Response(200, text=json.dumps({"keys": [PUBLIC | {"kid": "one", "use": "enc"}]}))
    with pytest.raises(LookupError):
        issuer.keys.get_key("one")


def test_many_at_once_ask_once() -> None:
    issuer = PlayedIssuer("one")
    threads = [threading.Thread(target=issuer.keys.get_key, args=["one"]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.asked == 1
