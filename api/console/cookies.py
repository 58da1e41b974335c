"""Cookies that contain a secret of one browser."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

from fastapi import Request, Response

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class SecretCookie:
    """A cookie that only its own host can set, thanks to the prefix ``__Host-``.

    Over plain HTTP, on loopback in development, browsers accept neither the prefix nor ``Secure``. The port is part of
    the name there, because cookies do not distinguish the ports of a host.
    """

    def __init__(self, name: str, origin: str, max_age: timedelta) -> None:
        url = urlsplit(origin)
        self._is_secure = url.scheme == "https"
        self.name = f"__Host-{name}" if self._is_secure else f"{name}-{url.port or 80}"
        self._max_age = int(max_age.total_seconds())

    def read(self, request: Request) -> str | None:
        """Return the secret, or None if there is none, or if it is ambiguous because the name is given twice."""
        pairs = (pair.partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";"))
        values = [value.strip() for name, _, value in pairs if name.strip() == self.name]
        return values[0] if len(values) == 1 and _SECRET.fullmatch(values[0]) else None

    def set(self, response: Response, secret: str) -> None:
        response.set_cookie(
            self.name, secret, self._max_age, path="/", secure=self._is_secure, httponly=True, samesite="lax"
        )

    def delete(self, response: Response) -> None:
        response.delete_cookie(self.name, path="/", secure=self._is_secure, httponly=True, samesite="lax")
