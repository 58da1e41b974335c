from datetime import timedelta

from fastapi import Request, Response

from api.console.cookies import SecretCookie

SECRET = "s" * 43


def create_request(*cookie_headers: str) -> Request:
    headers = [(b"cookie", header.encode()) for header in cookie_headers]
    return Request({"type": "http", "headers": headers})


def test_cookie_of_an_https_origin_belongs_to_its_host_only() -> None:
    cookie, response = SecretCookie("stafett", "https://stafett.example", timedelta(hours=1)), Response()
    cookie.set(response, SECRET)
    attributes = response.headers["set-cookie"].split("; ")
    assert attributes[0] == f"__Host-stafett={SECRET}"
    assert set(attributes[1:]) == {"HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=3600"}


def test_cookie_on_loopback_has_the_port_in_its_name() -> None:
    cookie, response = SecretCookie("stafett", "http://127.0.0.1:8000", timedelta(hours=1)), Response()
    cookie.set(response, SECRET)
    assert response.headers["set-cookie"].startswith(f"stafett-8000={SECRET}; ")
    assert "Secure" not in response.headers["set-cookie"]


def test_cookie_without_the_prefix_is_ignored() -> None:
    cookie = SecretCookie("stafett", "https://stafett.example", timedelta(hours=1))
    assert cookie.read(create_request(f"stafett={SECRET}")) is None
    assert cookie.read(create_request(f"x=y; __Host-stafett={SECRET}")) == SECRET


def test_cookie_that_is_given_twice_is_ignored() -> None:
    cookie = SecretCookie("stafett", "https://stafett.example", timedelta(hours=1))
    pair = f"__Host-stafett={SECRET}"
    assert cookie.read(create_request(f"{pair}; {pair}")) is None
    assert cookie.read(create_request(pair, pair)) is None


def test_deleted_cookie_has_the_attributes_that_its_prefix_requires() -> None:
    cookie, response = SecretCookie("stafett", "https://stafett.example", timedelta(hours=1)), Response()
    cookie.delete(response)
    assert {"Secure", "Path=/", "Max-Age=0"} <= set(response.headers["set-cookie"].split("; "))
