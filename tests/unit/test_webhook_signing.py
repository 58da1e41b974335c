"""Signatures that any library of Standard Webhooks accepts."""

import base64
import re

from stafett.webhooks.sender import WebhookMessage
from stafett.webhooks.signing import generate_secret, sign


def test_the_reference_vector_of_standard_webhooks_comes_out() -> None:
    signed = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_random_and_as_long_as_it_should_be() -> None:
    one, other = generate_secret(), generate_secret()
    assert one != other
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]+=*", one)
    assert 24 <= len(base64.b64decode(one.removeprefix("whsec_"))) <= 64


def test_a_message_that_is_shown_shows_neither_its_secret_nor_where_it_goes() -> None:
    message = WebhookMessage(id="m", url="https://hooks.example/private", secrets=(generate_secret(),), body=b"{}")
    assert f"{message!r} {message}" == "WebhookMessage(id='m') id='m'"
