"""Signing keys fetched from an issuer's URL: rotation, outages and unknown key ids."""

import json
import threading

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from api.keys import JwksEndpoint
from stafett.domain.errors import ServiceUnavailableError

PUBLIC_JWK = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
URL = "https://issuer.example/jwks.json"
HOUR = 3600.0


class FakeIssuer:
    """Publishes the configured keys or fault, and counts requests."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids: tuple[str, ...] = key_ids
        self.response: httpx.Response | Exception | None = None
        self.request_count = 0
        self.now = 1000.0
        self.keys = JwksEndpoint(URL, lambda: self.now, httpx.Client(transport=httpx.MockTransport(self._respond)))

    def _respond(self, _request: httpx.Request) -> httpx.Response:
        self.request_count += 1
        if isinstance(self.response, Exception):
            raise self.response
        published = {"keys": [PUBLIC_JWK | {"kid": kid, "use": "sig"} for kid in self.key_ids]}
        return self.response or httpx.Response(200, text=json.dumps(published))


def test_keys_are_fetched_once_for_many_tokens() -> None:
    issuer = FakeIssuer("one")
    assert issuer.request_count == 0
    for _ in range(100):
        assert isinstance(issuer.keys.get_key("one"), jwt.PyJWK)
    assert issuer.request_count == 1


def test_unknown_key_id_triggers_a_fetch() -> None:
    issuer = FakeIssuer("one")
    issuer.keys.get_key("one")
    issuer.key_ids, issuer.now = ("one", "two"), issuer.now + 11
    issuer.keys.get_key("two")
    assert issuer.request_count == 2


def test_key_that_is_no_longer_published_is_rejected() -> None:
    issuer = FakeIssuer("one", "two")
    issuer.keys.get_key("one")
    issuer.key_ids, issuer.now = ("two",), issuer.now + 301
    with pytest.raises(LookupError):
        issuer.keys.get_key("one")


def test_many_unknown_key_ids_cause_at_most_one_more_request() -> None:
    issuer = FakeIssuer("one")
    issuer.keys.get_key("one")
    for number in range(1000):
        issuer.now += 0.01
        with pytest.raises(LookupError):
            issuer.keys.get_key(f"unknown-{number}")
    assert issuer.request_count <= 2


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("unavailable"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text="[]"),
        httpx.Response(200, text=" " * 2_000_000),
    ],
    ids=["unavailable", "timeout", "server error", "not JSON", "not a key set", "too large"],
)
def test_known_keys_are_accepted_for_a_day_of_issuer_unavailability(fault: httpx.Response | Exception) -> None:
    issuer = FakeIssuer("one")
    issuer.keys.get_key("one")
    issuer.response, issuer.now = fault, issuer.now + 23 * HOUR
    issuer.keys.get_key("one")
    with pytest.raises(LookupError):
        issuer.keys.get_key("two")
    issuer.now += 2 * HOUR
    with pytest.raises(ServiceUnavailableError):
        issuer.keys.get_key("one")
    issuer.response, issuer.now = None, issuer.now + 11
    issuer.keys.get_key("one")


def test_issuer_that_was_never_reached_is_reported_unavailable() -> None:
    issuer = FakeIssuer("one")
    issuer.response = httpx.ConnectError("unavailable")
    with pytest.raises(ServiceUnavailableError):
        issuer.keys.get_key("one")


def test_encryption_keys_do_not_verify_signatures() -> None:
    issuer = FakeIssuer()
    issuer.response = httpx.Response(200, text=json.dumps({"keys": [PUBLIC_JWK | {"kid": "one", "use": "enc"}]}))
    with pytest.raises(LookupError):
        issuer.keys.get_key("one")


def test_concurrent_lookups_send_one_request() -> None:
    issuer = FakeIssuer("one")
    threads = [threading.Thread(target=issuer.keys.get_key, args=["one"]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.request_count == 1
