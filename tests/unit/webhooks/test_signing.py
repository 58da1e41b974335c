"""Signatures that any library of Standard Webhooks accepts."""

import base64
import re

from stafett.webhooks.sender import WebhookMessage
from stafett.webhooks.signing import generate_secret, sign


def test_signature_matches_the_reference_of_standard_webhooks() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secret_is_random_and_has_the_specified_length() -> None:
    one, other = generate_secret(), generate_secret()
    assert one != other
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]+=*", one)
    assert 24 <= len(base64.b64decode(one.removeprefix("whsec_"))) <= 64


def test_representation_of_a_message_hides_secret_and_url() -> None:
    message = WebhookMessage(id="m", url="https://hooks.example/private", secrets=(generate_secret(),), body=b"{}")
    assert f"{message!r} {message}" == "WebhookMessage(id='m') id='m'"
